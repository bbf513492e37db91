"""`Sandbox`: runs programs in warm, confined processes on this machine. The contract is `program.Runner`."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mopd_core.errors import ConfigError
from mopd_verifiers.sandbox.config import DEFAULT_LAYERS, SandboxConfig
from mopd_verifiers.sandbox.inside.setup import LAYERS
from mopd_verifiers.sandbox.probe import missing_layers, refusal
from mopd_verifiers.sandbox.process import PackageError, Zygote, ZygoteError
from mopd_verifiers.sandbox.program import Interpreter, Limits, OnReport, Program, Result
from mopd_verifiers.sandbox.running import LostError, Running, drive
from mopd_verifiers.sandbox.workers import ClosedError, Worker, Workers

_ATTEMPTS = 2


class Sandbox:
    """Programs in child processes of warm interpreters, under every layer that this machine offers.

    Each of `workers` runs one program (or pair) at a time; any number of threads may call. Making one probes the
    machine, which takes a moment the first time, and raises `ConfigError` if a required layer is missing.
    """

    def __init__(self, config: SandboxConfig, workers: int) -> None:
        self._missing = missing_layers(config)
        self._required = config.require
        away = set(self._missing) - {"uid"} | ({"namespaces"} if config.bubblewrap else set())
        layers = tuple(layer for layer in LAYERS if layer not in away)
        self._workers = Workers(workers, layers, config.bubblewrap)

    @property
    def caveats(self) -> tuple[str, ...]:
        """One for each layer of the default's that this machine lacks."""
        return tuple(f"sandbox without {layer}" for layer in DEFAULT_LAYERS if layer in self._missing)

    def prepare(self, interpreter: Interpreter) -> None:
        """Have one worker warm up this kind of interpreter now. Raises `ConfigError` where that cannot work."""
        try:
            with self._workers.borrow(interpreter) as worker:
                self._zygote(worker, interpreter, 0)
        except ZygoteError as error:
            raise ConfigError(f"the sandbox does not start: {error}") from error

    def run(self, program: Program, limits: Limits, on_report: OnReport | None = None) -> Result:
        """Run one program to its end. Never raises for what the program does.

        Raises `ValueError` for a program that does not fit its interpreter, and `ConfigError` for an interpreter whose
        packages are not installed.
        """
        _check(program)
        return self._attempt([program], limits, on_report)[0]

    def run_pair(self, first: Program, second: Program, limits: Limits) -> tuple[Result, Result]:
        """Run two programs with a channel between them, until the first ends. Raises as `run` does."""
        _check(first)
        _check(second)
        one, other = self._attempt([first, second], limits, None)
        return one, other

    def close(self) -> None:
        """End every process; what still runs is unknown. Calling it twice is fine."""
        self._workers.close()

    def _attempt(self, programs: Sequence[Program], limits: Limits, on_report: OnReport | None) -> list[Result]:
        """Try, and once more if it was not the programs' doing that nothing came of it."""
        reason = ""
        for _ in range(_ATTEMPTS):
            try:
                with self._workers.borrow(programs[0].interpreter) as worker:
                    return self._run_on(worker, programs, limits, on_report)
            except (ZygoteError, LostError) as error:
                reason = str(error)
            except ClosedError:
                reason = "the sandbox was closed"
        return [self._unknown(reason) for _ in programs]

    def _run_on(
        self, worker: Worker, programs: Sequence[Program], limits: Limits, on_report: OnReport | None
    ) -> list[Result]:
        """Run on this worker. Its zygotes are used again only if all went as it should."""
        zygotes = [self._zygote(worker, program.interpreter, role) for role, program in enumerate(programs)]
        each = [limits, *(replace(limits, step_s=None) for _ in programs[1:])]
        runs = [Running(*given, on_report) for given in zip(zygotes, programs, each, strict=True)]
        try:
            _start(runs)
            drive(runs)
            return [run.result(self._lacking(zygote)) for run, zygote in zip(runs, zygotes, strict=True)]
        except BaseException as error:
            for role, program in enumerate(programs):
                worker.drop(program.interpreter, role)
            if isinstance(error, LostError) and runs[0].has_reported:
                return [self._unknown(str(error)) for _ in programs]
            raise
        finally:
            for run in runs:
                run.close()

    def _zygote(self, worker: Worker, interpreter: Interpreter, role: int) -> Zygote:
        try:
            zygote = worker.zygote(interpreter, role)
        except PackageError as error:
            raise ConfigError(
                f"a sandboxed interpreter with packages {list(interpreter.packages)} cannot be made: {error}; install "
                "what is missing, or do not ask for it"
            ) from error
        if lacking := [layer for layer in self._required if layer in zygote.missing]:
            raise ConfigError(refusal(lacking[0], zygote.missing[lacking[0]]))
        return zygote

    def _lacking(self, zygote: Zygote) -> tuple[str, ...]:
        return tuple(layer for layer in LAYERS if layer in self._missing or layer in zygote.missing)

    def _unknown(self, reason: str) -> Result:
        return Result("unknown", reason=reason, missing=tuple(self._missing))


def _start(runs: Sequence[Running]) -> None:
    """Send the programs off, two of them with a channel between them. Raises `LostError`."""
    if len(runs) == 1:
        runs[0].start()
        return
    ends = socket.socketpair()
    try:
        for run, end in zip(runs, ends, strict=True):
            run.start(end)
    finally:
        for end in ends:
            end.close()


def _check(program: Program) -> None:
    """Raise `ValueError` for a program that does not fit its interpreter: the caller's mistake."""
    module = program.entry.partition(":")[0]
    if module not in program.interpreter.entries:
        raise ValueError(f"entry {program.entry!r} is not in the interpreter's entries {program.interpreter.entries}")
    if program.files and not program.interpreter.scratch:
        raise ValueError("a program has files but its interpreter has no scratch folder; give it one")
    for name in program.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise ValueError(f"file {name!r} does not lie in the scratch folder; give a relative path below it")
