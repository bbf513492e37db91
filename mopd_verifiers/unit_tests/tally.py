"""Counts what the tests' process reported."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

_FIELDS = {"start": 1, "end": 5, "done": 2}


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed. kind: of its exception; where: lines of the candidate's own code; empty for none."""

    test: str
    kind: str
    message: str
    where: str


@dataclass(slots=True)
class Tally:
    """What is known. running: the test that had not ended. broken, unsendable: on the channel's record, or empty."""

    passed: int = 0
    failures: list[Failure] = field(default_factory=list)
    running: str = ""
    is_done: bool = False
    broken: str = ""
    unsendable: str = ""


def count(report: Iterable[bytes]) -> Tally:
    """What a report says, up to the first line that says nothing: only a candidate beside its tests can write one."""
    tally = Tally()
    for line in report:
        said = _parse(line)
        if said is None:
            tally.is_done = False
            return tally
        _add(tally, *said)
    return tally


def _add(tally: Tally, what: str, *details: str) -> None:
    if what == "start":
        (tally.running,) = details
    elif what == "end":
        test, outcome, kind, message, where = details
        tally.running = ""
        tally.passed += outcome == "passed"
        if outcome in ("failed", "error"):
            tally.failures.append(Failure(test, kind, message, where))
    else:
        tally.is_done = True
        tally.broken, tally.unsendable = details


def _parse(line: bytes) -> list[str] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_text = isinstance(said, list) and bool(said) and all(isinstance(part, str) for part in said)
    return said if is_text and _FIELDS.get(said[0]) == len(said) - 1 else None
