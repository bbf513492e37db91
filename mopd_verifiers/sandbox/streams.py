"""What a program writes, as it comes: read without waiting, kept up to a limit."""

from __future__ import annotations

import os
import time

from mopd_verifiers.sandbox.program import OnReport

_CHUNK = 1 << 16


class Capture:
    """The reading end of a pipe, and what came out of it: `content`, at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.content = b""
        self.descriptor = -1
        self.is_over = False
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def open(self) -> int:
        """Make the pipe; return the end to write to, which is the caller's to close."""
        self.descriptor, theirs = os.pipe()
        os.set_blocking(self.descriptor, False)
        return theirs

    @property
    def is_open(self) -> bool:
        return self.descriptor >= 0

    def take(self) -> bool:
        """Read once; False when nothing came. At the end, and over the limit, the pipe is closed."""
        try:
            data = os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return False
        room = self._limit - self._size
        self.is_over = len(data) > room
        if data:
            self._keep(data[:room])
        if not data or self.is_over:
            self.close()
        return bool(data)

    def take_rest(self) -> None:
        """Read what is there and close the pipe: its writer has ended."""
        while self.is_open and self.take():
            pass
        self.close()

    def close(self) -> None:
        """Close the pipe. Calling it twice is fine."""
        if self.is_open:
            os.close(self.descriptor)
            self.descriptor = -1
            self.content = b"".join(self._parts)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        self._parts.append(data)


class Report(Capture):
    """The pipe of an entry's own: complete lines, each told to the caller as it comes."""

    def __init__(self, limit: int, on_report: OnReport | None) -> None:
        super().__init__(limit)
        self.lines: list[bytes] = []
        self.last_at = 0.0
        self.is_refused = False
        self._on_report = on_report
        self._begun: list[bytes] = []

    @property
    def has_told(self) -> bool:
        """Whether the caller has been told a line."""
        return self._on_report is not None and bool(self.lines)

    def _keep(self, data: bytes) -> None:
        super()._keep(data)
        first, *rest = data.split(b"\n")
        self._begun.append(first)
        for part in rest:
            self._tell(b"".join(self._begun))
            self._begun = [part]

    def _tell(self, line: bytes) -> None:
        if self.is_refused:
            return
        self.lines.append(line)
        self.last_at = time.monotonic()
        self.is_refused = self._on_report is not None and not self._on_report(line)
