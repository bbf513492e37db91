"""A zygote as seen from here: started, given jobs, told to kill, and ended with all that it started.

The parent never forks: a process without threads, `inside.launch`, does.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mopd_verifiers
from mopd_verifiers.sandbox.inside.setup import Kind

_PACKET = 1 << 18
_EMPTY_TIMEOUT_S, _END_TIMEOUT_S = 30.0, 2.0
_BOOT = "import sys; sys.path.append(sys.argv.pop()); from mopd_verifiers.sandbox.inside.{} import {} as main; main()"

ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}
"""All that a process in here inherits."""


class ZygoteError(Exception):
    """The zygote does not start, or is gone, or does not answer."""


class PackageError(Exception):
    """An entry or a package cannot be imported in there."""


class Zygote:
    """One warm process, which runs one program at a time. Used by one thread at a time; `kill` by any."""

    def __init__(self, kind: Kind, wrapper: Sequence[str] = ()) -> None:
        """Start it; `warm_up` waits until it can take jobs. wrapper: words to put before its command, as `bwrap` has.

        Raises `ZygoteError`.
        """
        self.missing: dict[str, str] = {}
        self._is_emptying = False
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = _start(theirs.fileno(), wrapper)
            except OSError as error:
                self.control.close()
                raise ZygoteError(f"it does not start: {error}") from error
        self._kind = kind

    def warm_up(self, timeout_s: float) -> None:
        """Tell it what to be, and wait until it is. Raises `ZygoteError` and `PackageError`."""
        self._send(asdict(self._kind))
        message = self._next(timeout_s)
        if message.get("failed") == "import":
            raise PackageError(message["reason"])
        if "failed" in message:
            raise ZygoteError(f"it could not be set up: {message['reason']}")
        self.missing = message["missing"]

    def run(self, job: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Start a program, once the folder of the last one is empty. Raises `ZygoteError`."""
        if self._is_emptying:
            self._next(_EMPTY_TIMEOUT_S)
        self._is_emptying = bool(self._kind.scratch)
        self._send({"run": job}, descriptors)

    def stop(self) -> None:
        """Kill the program; its end is told as ever. Raises `ZygoteError`."""
        self._send({"kill": True})

    def receive(self) -> dict[str, Any]:
        """What it says; call it when `control` can be read. Raises `ZygoteError` when it is gone."""
        try:
            data = self.control.recv(_PACKET)
        except OSError as error:
            raise ZygoteError(f"it cannot be heard: {error}") from error
        if not data:
            raise ZygoteError("it has ended")
        message: dict[str, Any] = json.loads(data)
        return message

    def kill(self) -> None:
        """End it soon, whatever it does; `end` is still to be called. Any thread may call this."""
        self._process.terminate()

    def end(self) -> None:
        """End it and all that it started, and wait for that. Calling it twice is fine."""
        self.control.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _next(self, timeout_s: float) -> dict[str, Any]:
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            raise ZygoteError(f"it was not ready after {timeout_s:g} s")
        return self.receive()

    def _send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], descriptors)
        except OSError as error:
            raise ZygoteError(f"it cannot be reached: {error}") from error


def command(module: str, *arguments: str, function: str = "main") -> list[str]:
    """The command that runs a function of a module of `inside`, with the standard library and this package alone."""
    root = str(Path(mopd_verifiers.__file__).parents[1])
    return [os.path.realpath(sys.executable), "-s", "-S", "-P", "-c", _BOOT.format(module, function), *arguments, root]


def _start(control: int, wrapper: Sequence[str]) -> subprocess.Popen[bytes]:
    wrapped = [*wrapper, *command("launch", str(control), function="serve_wrapped")] if wrapper else []
    words = command("launch", str(control), *wrapped)
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd=os.sep,
        pass_fds=[control],
        start_new_session=True,
    )
