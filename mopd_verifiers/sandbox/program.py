"""What goes into the sandbox and what comes out. `Runner` is the contract; a remote sandbox is a class of its own.

Sizes are in bytes or MiB (`_mb`), times in seconds of wall time (`_s`), unless a field says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Status = Literal["ok", "error", "crashed", "timeout", "output", "stopped", "unknown"]
"""How a run ended.

ok: exit code 0. error: another exit code. crashed: by a signal of its own making. timeout: over `wall_s` or `step_s`.
output: more than `output_bytes` on a stream. stopped: by the caller, or because the other program of a pair had ended.
unknown: the sandbox could not run it; no verdict may rest on that.
"""

OnReport: TypeAlias = Callable[[bytes], bool]
"""Called with each complete line of a report, newline removed, while the program runs; False stops the program."""

SCRIPT = "mopd_verifiers.sandbox.inside.script:run"
"""The entry that runs a source as `__main__`, as `python FILE` would."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use.

    wall_s: from the start to the end. step_s: between the start or a line of the report and the next line. memory_mb:
    address space beyond what the warm interpreter holds. output_bytes: on each of stdout, stderr and report.
    """

    wall_s: float = 10.0
    step_s: float | None = None
    memory_mb: int = 512
    output_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A kind of warm interpreter; a worker keeps one process for each kind that it was asked for.

    packages: importable beside the standard library, and preloaded. entries: modules with entries, preloaded; they are
    found where this process finds them. scratch: whether programs may read and write a folder of their own, their
    working directory, emptied after each run; without it they see no file but the standard library's and `packages`'.
    """

    packages: tuple[str, ...] = ()
    entries: tuple[str, ...] = ("mopd_verifiers.sandbox.inside.script",)
    scratch: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: `entry` (`module:function`, see `inside.job`) is called with the source and the payload.

    files: what lies in the scratch folder at the start, by relative path; only with an interpreter that has one.
    """

    source: str
    stdin: bytes = b""
    payload: bytes = b""
    entry: str = SCRIPT
    files: Mapping[str, bytes] = field(default_factory=dict)
    interpreter: Interpreter = Interpreter()


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended, what it wrote (cut at the limit), and what it used.

    exit_code: None unless it exited by itself. signal: the name of the one that ended it, such as SIGSEGV. report: the
    complete lines. peak_memory_mb: resident. reason: why the status is unknown. missing: layers that this machine does
    not offer, or that the caller waived; empty for a run with all of them.
    """

    status: Status
    exit_code: int | None = None
    signal: str | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    report: tuple[bytes, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    reason: str = ""
    missing: tuple[str, ...] = ()


class Runner(Protocol):
    """What the verifiers ask of a sandbox. Any number of threads may call it; no call waits for ever."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """What weakens verdicts that rest on this sandbox, such as `sandbox without landlock`; usually nothing."""
        ...

    def run(self, program: Program, limits: Limits, on_report: OnReport | None = None) -> Result:
        """Run one program to its end. Never raises for what the program does."""
        ...

    def run_pair(self, first: Program, second: Program, limits: Limits) -> tuple[Result, Result]:
        """Run two programs whose `channel`s are connected, until the first ends; the second is stopped then."""
        ...

    def close(self) -> None:
        """End every process. Calling it twice is fine."""
        ...
