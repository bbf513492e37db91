"""Messages over a stream socket: four bytes of length, then that much JSON in UTF-8 (lone surrogates allowed)."""

from __future__ import annotations

import json
import socket
from typing import Any, TypeAlias

from mopd_verifiers.proxy.errors import ProtocolError

MAX_MESSAGE_BYTES = 8 << 20
"""A longer message is refused by whoever reads it, and not sent by an honest writer."""

Json: TypeAlias = Any
"""What `json` reads: never anything but None, bool, int, float, str, list and dict."""

_HEADER = 4


class TooLargeError(Exception):
    """A message is longer than `MAX_MESSAGE_BYTES`; nothing was sent."""


class Wire:
    """One end of the channel, which it closes in the end."""

    def __init__(self, channel: int) -> None:
        self._socket = socket.socket(fileno=channel)
        self._socket.setblocking(True)
        self._incoming = self._socket.makefile("rb")

    def send(self, message: Json) -> None:
        """Raises `TooLargeError`, and `OSError` where nobody listens any more."""
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":"), check_circular=False)
        data = body.encode("utf-8", "surrogatepass")
        if len(data) > MAX_MESSAGE_BYTES:
            raise TooLargeError(f"{len(data)} bytes of data; at most {MAX_MESSAGE_BYTES} can be sent at once")
        self._socket.sendall(len(data).to_bytes(_HEADER) + data)

    def receive(self) -> Json:
        """The next message. Raises `EOFError` at the end of the stream and `ProtocolError` for what is none."""
        size = int.from_bytes(self._read(_HEADER))
        if size > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a message of {size} bytes; at most {MAX_MESSAGE_BYTES} are read")
        try:
            return json.loads(self._read(size).decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"a message that is not JSON: {type(error).__name__}") from None

    def close(self) -> None:
        """Let go of the channel."""
        self._incoming.close()
        self._socket.close()

    def _read(self, size: int) -> bytes:
        data = self._incoming.read(size)
        if len(data) < size:
            raise EOFError
        return data
