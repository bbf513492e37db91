"""What went wrong in a run, in words: how it ended, and the candidate's own lines in its traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mopd_verifiers.code.grade import Failure
from mopd_verifiers.sandbox.inside.script import FILE
from mopd_verifiers.sandbox.program import Limits, Result

_MAX_TRACE_CHARS = 20_000
_MAX_FRAMES = 5
_FRAME = re.compile(r'^  File "([^"\n]*)", line ([0-9]{1,9})(?:, in (.*))?\n((?:    .*\n?)*)', re.MULTILINE)
_ERROR = re.compile(r"^([A-Za-z_][\w.]*)(?:[:;] (.*))?\s*\Z", re.DOTALL | re.MULTILINE)
_ABOUT_THE_SOURCE = {"SyntaxError", "IndentationError", "TabError"}


def ended_badly(result: Result, limits: Limits) -> Failure | None:
    """Why a run failed by the way it ended; None where it ended well, or was stopped by us."""
    match result.status:
        case "timeout":
            return too_slow(limits)
        case "output":
            return Failure(f"it wrote more than {limits.output_bytes >> 10} KiB")
        case "crashed":
            return Failure(f"it crashed ({result.signal})")
        case "error":
            printed = result.stderr.decode("utf-8", "replace")
            return raised(printed, limits) or _exited(result.exit_code, printed)
        case _:
            return None


def too_slow(limits: Limits) -> Failure:
    """For a test that took longer than a step may, or the whole run."""
    return Failure(f"it took longer than {limits.step_s or limits.wall_s:.3g} s")


def raised(trace: str, limits: Limits) -> Failure | None:
    """Why a run failed, by Python's traceback; None where the text is none."""
    trace = trace[-_MAX_TRACE_CHARS:]
    frames = list(_FRAME.finditer(trace))
    if not frames and not trace.startswith("MemoryError"):
        return None
    error = _ERROR.search(trace, frames[-1].end() if frames else 0)
    if error is None:
        return None
    kind, message = error[1], (error[2] or "").strip()
    if kind == "MemoryError":
        return Failure(f"it needed more than {limits.memory_mb} MiB of memory", _own_lines(frames))
    if kind in _ABOUT_THE_SOURCE:
        return Failure(f"the program does not compile ({kind}: {message})", _own_lines(frames))
    return Failure(f"it raised {kind}", _own_lines(frames), (("Error", f"{kind}: {message}"),) if message else ())


def _exited(code: int | None, printed: str) -> Failure:
    told = (("Error output", printed.strip()),) if printed.strip() else ()
    return Failure(f"it ended with exit code {code}", told=told)


def _own_lines(frames: list[re.Match[str]]) -> tuple[str, ...]:
    return tuple(_described(frames))[-_MAX_FRAMES:]


def _described(frames: list[re.Match[str]]) -> Iterator[str]:
    for _, number, function, source in (frame.groups() for frame in frames if frame[1] == FILE):
        where = f"line {number}" if function in (None, "<module>") else f"line {number}, in {function}"
        text = source.split("\n", 1)[0].strip()
        yield f"{where}: {text}" if text else where
