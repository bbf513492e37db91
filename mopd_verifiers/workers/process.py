"""One worker process seen from its parent: lines out, lines in, and no call that blocks longer than it was told to."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mopd_verifiers.workers.child import READY

_CHUNK = 1 << 16
_ERROR_TAIL = 300


class StartError(Exception):
    """The worker could not be started; the text says why."""


class WorkerProcess:
    """A running `python -m module`. It has said that it is ready when the constructor returns, else `StartError`.

    Start it from a thread that lives as long as the worker shall: on Linux a worker dies with the *thread* that started
    it.
    """

    def __init__(self, module: str, arguments: Sequence[str], start_timeout_s: float) -> None:
        self.ended = False
        """The worker closed its end: no line will come any more."""
        self._outgoing = bytearray()
        self._incoming = b""
        command = [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments]
        with tempfile.TemporaryFile() as errors:
            try:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    bufsize=0,
                    env=_environment(),
                    process_group=0,
                )
            except OSError as error:
                raise StartError(str(error)) from error
            self._stdin, self._stdout = _unblocked(self._child.stdin), _unblocked(self._child.stdout)
            self._wait_until_ready(start_timeout_s, errors)

    def post(self, line: bytes) -> None:
        """Queue one line, newline included; `receive` writes it as the worker takes it."""
        self._outgoing += line

    def receive(self, timeout_s: float) -> list[bytes]:
        """Write what is queued and return lines as soon as any came; none after `timeout_s`, or when it has ended."""
        deadline = time.monotonic() + timeout_s
        while True:
            readable, writable = self._select(deadline)
            if writable:
                self._write()
            if readable and (lines := self._read()):
                return lines
            if self.ended or not (readable or writable):
                return []

    def kill(self) -> None:
        """Kill it at once. Any thread may call this, at any time."""
        self._child.kill()

    def reap(self) -> int:
        """Kill it if it still runs, close its pipes, and return its exit code (negative: the signal that ended it)."""
        if not self.ended:
            self._child.kill()
        code = self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        return code

    def _select(self, deadline: float) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        if self._outgoing:
            poll.register(self._stdin, select.POLLOUT)
        ready = {fd for fd, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        return self._stdout in ready, self._stdin in ready

    def _write(self) -> None:
        try:
            del self._outgoing[: os.write(self._stdin, self._outgoing[:_CHUNK])]
        except BrokenPipeError:
            self._outgoing.clear()

    def _read(self) -> list[bytes]:
        data = os.read(self._stdout, _CHUNK)
        self.ended = not data
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        return lines

    def _wait_until_ready(self, timeout_s: float, errors: IO[bytes]) -> None:
        if self.receive(timeout_s) == [READY.strip()]:
            return
        said = f"was not ready after {timeout_s:g} s" if not self.ended else "ended while starting"
        code = self.reap()
        errors.seek(0)
        last_words = errors.read().decode(errors="replace").strip()[-_ERROR_TAIL:]
        raise StartError(f"it {said} (exit code {code}){': ' if last_words else ''}{last_words}")


def _unblocked(stream: IO[bytes] | None) -> int:
    assert stream is not None
    os.set_blocking(stream.fileno(), False)
    return stream.fileno()


def _environment() -> dict[str, str]:
    """The caller's environment, so that the worker imports what the caller would; one thread, and a fixed hash seed."""
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
