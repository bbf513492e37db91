"""The tests' side of the channel: asks, and turns what comes back into data, exceptions and proxies.

What the candidate prints meanwhile is printed here, where tests can capture it.
Everything that comes is the candidate's word: it may be any value at all, but it is only ever a value. A violation of
the protocol stays on record in `broken`, so that no `except` in a test can hide it; something that the tests could not
send stays in `unsendable`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from mopd_verifiers.proxy.codec import Decoder, Encoder, TooDeepError, as_list
from mopd_verifiers.proxy.errors import ProtocolError, UnsendableError
from mopd_verifiers.proxy.mirror import Mirror
from mopd_verifiers.proxy.special import SETTLED
from mopd_verifiers.proxy.trust import Trust
from mopd_verifiers.proxy.wire import Json, TooLargeError, Wire

MAX_REQUESTS = 2_000_000
"""In one session; then it is broken."""

_OPT_IN = 'tests that need this can run beside the candidate, with "in_process": true in the reference'
_INTERRUPTED = "a request was interrupted"
_ENDED = "the candidate's process ended"
_READING = frozenset({*SETTLED, "describe", "dir", "getattr", "__iter__", "__next__", "__getitem__", "__contains__"})
"""What changes no object that behaves as data does."""
_REPLIES = (("cells", "ok", "out"), ("cells", "out", "raise"))


class Link:
    """Any number of the tests' threads may ask; each waits for its turn."""

    def __init__(self, wire: Wire, trust: Trust) -> None:
        self.trust = trust
        self.mirror = Mirror(self)
        self.broken: str | None = None
        self.unsendable: str | None = None
        self.settled: dict[tuple[int, Hashable], Any] = {}
        self._wire = wire
        self._lock = threading.RLock()
        self._left = MAX_REQUESTS

    def ask(
        self,
        op: str,
        *operands: object,
        named: Mapping[str, object] | None = None,
        is_blamed: bool = True,
        is_answer: bool = True,
    ) -> Any:
        """What the operation gives; raises what it raises.

        is_blamed: an operand that cannot be sent is the tests' fault. is_answer: an object that comes back answers.
        """
        with self._lock:
            if op not in _READING:
                self.settled.clear()
            if self.broken is not None:
                raise ProtocolError(self.broken)
            encoder = Encoder(self.mirror.refer)
            try:
                request = {
                    "op": op,
                    "a": encoder.encode_all(operands, 0),
                    "k": {name: encoder.encode(operand, 1) for name, operand in (named or {}).items()},
                }
                reply = self._exchange(request)
            except UnsendableError as error:
                raise self._cannot_send(error, is_blamed) from None
            except (TooDeepError, TooLargeError) as error:
                raise UnsendableError(f"the candidate cannot be given a value of this size: {error}") from None
            try:
                return self._read(reply, encoder.cells, is_answer)
            except ProtocolError as error:
                self.broken = str(error)
                raise
            except StopIteration as error:
                if op == "__next__":
                    raise
                raise RuntimeError("the candidate raised StopIteration") from error

    def can_send(self, operand: object) -> bool:
        """Whether the candidate can be given this."""
        try:
            Encoder(self.mirror.refer).encode(operand)
        except (UnsendableError, TooDeepError):
            return False
        return True

    def close(self) -> None:
        """Let go of the channel."""
        self._wire.close()

    def check(self) -> None:
        """Raises `ProtocolError` or `UnsendableError` for what went wrong so far, even if a test caught it."""
        if self.unsendable is not None:
            raise UnsendableError(self.unsendable)
        if self.broken is not None:
            raise ProtocolError(self.broken)

    def refuse(self, what: str) -> UnsendableError:
        """The error for something that the tests want and that cannot be had across processes; it goes on record."""
        self.unsendable = self.unsendable or f"{what}; {_OPT_IN}"
        return UnsendableError(self.unsendable)

    def _exchange(self, request: Json) -> Json:
        if self.broken is None and self._left == 0:
            self.broken = f"more than {MAX_REQUESTS} requests"
        if self.broken is not None:
            raise ProtocolError(self.broken)
        self._left -= 1
        self.broken = _INTERRUPTED
        try:
            self._wire.send(request)
            reply = self._wire.receive()
        except TooLargeError:
            self.broken = None
            raise
        except ProtocolError as error:
            self.broken = str(error)
            raise
        except (OSError, EOFError):
            self.broken = _ENDED
            raise ProtocolError(_ENDED) from None
        self.broken = None
        return reply

    def _read(self, reply: Json, cells: Sequence[object], is_answer: bool) -> Any:
        if not isinstance(reply, dict) or tuple(sorted(reply)) not in _REPLIES or type(reply["out"]) is not str:
            raise ProtocolError("an answer that is none")
        sys.stdout.write(reply["out"].encode("utf-8", "replace").decode())
        decoder = Decoder(self.mirror.resolver(is_answer), cells)
        value = decoder.decode(reply["ok"] if "ok" in reply else reply["raise"])
        _write_back(decoder, reply["cells"], len(cells))
        if "ok" in reply:
            return value
        if not isinstance(value, BaseException):
            raise ProtocolError("something raised that is no exception")
        raise value

    def _cannot_send(self, error: UnsendableError, is_blamed: bool) -> Exception:
        if is_blamed:
            return self.refuse(f"the tests give the candidate {error}")
        return TypeError(f"what the candidate gave back cannot be given {error}")


def _write_back(decoder: Decoder, changes: Json, known: int) -> None:
    """Let the containers that were operands of this request, and no others, hold what the candidate left in them."""
    for change in as_list(changes):
        number, content = as_list(change) if len(as_list(change)) == 2 else (None, None)
        if type(number) is not int or not 0 <= number < known:
            raise ProtocolError("a change to a container that it was not given")
        decoder.fill(decoder.cells[number], content)
