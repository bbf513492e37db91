"""One program in flight: its streams drained and capped, its limits kept, its end told. `drive` runs one or a pair.

Nothing here raises for what a program does. `LostError` is for what is not its doing: such a run may be tried again.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mopd_verifiers.sandbox.inside.setup import Task
from mopd_verifiers.sandbox.process import Zygote, ZygoteError
from mopd_verifiers.sandbox.program import Limits, OnReport, Program, Result, Status
from mopd_verifiers.sandbox.sealed import sealed
from mopd_verifiers.sandbox.streams import Capture, Report

_OWN_SIGNALS = {
    getattr(signal, f"SIG{name}")
    for name in ("SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "ABRT", "ALRM", "VTALRM", "PROF", "PIPE", "XFSZ")
}
"""What a program under all layers can bring on itself: faults, and the timers that it may set."""

_ANSWER_S = 5.0
"""How long a zygote may take to say that a program it was told to kill has ended."""


class LostError(Exception):
    """The run came to nothing, and not by the program's doing."""


class Running:
    """One program, from its start on. `drive` has it go on; `result` is for when it has ended."""

    def __init__(self, zygote: Zygote, program: Program, limits: Limits, on_report: OnReport | None = None) -> None:
        self._zygote = zygote
        self._program = program
        self._limits = limits
        self._stdout, self._stderr = Capture(limits.output_bytes), Capture(limits.output_bytes)
        self._report = Report(limits.output_bytes, on_report)
        self._stopped_for: Status | None = None
        self._stopped_at = 0.0
        self._ended: dict[str, Any] | None = None
        self._ended_at = self._started_at = time.monotonic()

    def start(self, channel: socket.socket | None = None) -> None:
        """Send it off. Raises `LostError`."""
        program, files = self._program, self._program.files
        source = program.source.encode("utf-8", "surrogatepass")
        parts = (source, program.payload, *files.values())
        task = Task(program.entry, tuple(map(len, parts)), tuple(files), self._limits.wall_s, self._limits.memory_mb)
        with sealed(program.stdin) as stdin, sealed(*parts) as blob:
            ends = [stream.open() for stream in (self._stdout, self._stderr, self._report)]
            try:
                self._zygote.run(asdict(task), [stdin, blob, *ends, *([channel.fileno()] if channel else [])])
            except ZygoteError as error:
                raise LostError(str(error)) from error
            finally:
                self._started_at = time.monotonic()
                for end in ends:
                    os.close(end)

    @property
    def has_ended(self) -> bool:
        return self._ended is not None

    @property
    def has_reported(self) -> bool:
        """Whether the caller was told a line, so that running it again would tell it twice."""
        return self._report.has_told

    def watched(self) -> dict[int, Capture | None]:
        """The descriptors to wait for; None stands for the zygote's own."""
        streams = (self._stdout, self._stderr, self._report)
        return {self._zygote.control.fileno(): None} | {
            stream.descriptor: stream for stream in streams if stream.is_open
        }

    def deadline(self) -> float:
        """When `check` has to look again, whatever happens."""
        if self._stopped_for is not None:
            return self._stopped_at + _ANSWER_S
        step_s = self._limits.step_s
        wall = self._started_at + self._limits.wall_s
        return wall if step_s is None else min(wall, max(self._started_at, self._report.last_at) + step_s)

    def take(self, stream: Capture | None) -> None:
        """Take what came on a watched descriptor. Raises `LostError`."""
        if stream is None:
            self._take_end()
        elif stream.is_open:
            stream.take()

    def check(self) -> None:
        """Act on what came so far and on the time. Raises `LostError`."""
        if self._stopped_for is None:
            if why := self._reason_to_stop():
                self.stop(why)
        elif time.monotonic() > self.deadline():
            raise LostError(f"the program could not be ended within {_ANSWER_S:g} s")

    def stop(self, why: Status) -> None:
        """Have it killed, unless it already is. Raises `LostError`."""
        if self._stopped_for is None and not self.has_ended:
            self._stopped_for, self._stopped_at = why, time.monotonic()
            try:
                self._zygote.stop()
            except ZygoteError as error:
                raise LostError(str(error)) from error

    def close(self) -> None:
        """Let go of the streams."""
        for stream in (self._stdout, self._stderr, self._report):
            stream.close()

    def result(self, missing: tuple[str, ...]) -> Result:
        """How it ended. Raises `LostError` where that says nothing about the program."""
        assert self._ended is not None
        code = os.waitstatus_to_exitcode(self._ended["ended"])
        status = self._status(code)
        return Result(
            status=status,
            exit_code=code if status in ("ok", "error") else None,
            signal=signal.Signals(-code).name if status == "crashed" else None,
            stdout=self._stdout.content,
            stderr=self._stderr.content,
            report=tuple(self._report.lines),
            wall_s=self._ended_at - self._started_at,
            cpu_s=self._ended["cpu_s"],
            peak_memory_mb=self._ended["peak_kb"] / 1024,
            missing=missing,
        )

    def _status(self, code: int) -> Status:
        if self._stopped_for == "stopped":
            return "stopped"
        if not self._ended or not self._ended["armed"]:
            raise LostError(f"the program was not started: {self._words() or 'a layer did not say why'}")
        if self._stopped_for is not None:
            return self._stopped_for
        if any(stream.is_over for stream in (self._stdout, self._stderr, self._report)):
            return "output"
        if code >= 0:
            return "error" if code else "ok"
        if -code == signal.SIGXCPU or (-code == signal.SIGKILL and self._ended["cpu_s"] >= self._limits.wall_s):
            return "timeout"
        if -code not in _OWN_SIGNALS:
            raise LostError(f"the program was ended from outside, by signal {-code}")
        return "crashed"

    def _words(self) -> str:
        return str(self._ended["words"]) if self._ended else ""

    def _take_end(self) -> None:
        """The zygote says how it ended; what is still in the streams comes before."""
        try:
            self._ended = self._zygote.receive()
        except ZygoteError as error:
            raise LostError(str(error)) from error
        self._ended_at = time.monotonic()
        for stream in (self._stdout, self._stderr, self._report):
            stream.take_rest()

    def _reason_to_stop(self) -> Status | None:
        if any(stream.is_over for stream in (self._stdout, self._stderr, self._report)):
            return "output"
        if self._report.is_refused:
            return "stopped"
        return "timeout" if time.monotonic() >= self.deadline() else None


def drive(runs: Sequence[Running]) -> None:
    """Go on until the first has ended; the others are stopped then. Raises `LostError`."""
    while going := [run for run in runs if not run.has_ended]:
        if runs[0].has_ended:
            for run in going:
                run.stop("stopped")
        watched = {descriptor: (run, stream) for run in going for descriptor, stream in run.watched().items()}
        poll = select.poll()
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        wait_s = min(run.deadline() for run in going) - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(max(0, int(wait_s * 1000) + 1))}
        for descriptor in ready:
            run, stream = watched[descriptor]
            run.take(stream)
        for run in going:
            if not run.has_ended:
                run.check()
