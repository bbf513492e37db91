"""Grades functions: the inputs are sent, the results come back as lines of JSON and are compared here.

One process makes all the calls. Where a call ends it or hangs, that test has failed, and another process goes on with
the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mopd_core.types import Json
from mopd_verifiers.code.compare import same_value
from mopd_verifiers.code.driver import CALL
from mopd_verifiers.code.failures import ended_badly, raised
from mopd_verifiers.code.grade import Failure, Grade, Tally, Terms
from mopd_verifiers.code.problems import CallTest, FunctionProblem
from mopd_verifiers.sandbox.program import Limits, Program, Runner

_UNREADABLE = Failure("its result could not be read")
_MAX_WHAT_CHARS = 100


def grade_function(problem: FunctionProblem, source: str, terms: Terms, runner: Runner) -> Grade:
    """Make all the calls, in as many processes as it takes."""
    tests = problem.tests[: terms.max_tests]
    tally = Tally(terms, len(tests))
    while tally.goes_on:
        left = tests[tally.done :]
        limits = terms.limits(min(tally.left_s, terms.timeout_s * len(left)), terms.timeout_s)
        session = _Session(problem, limits, tally)
        program = Program(source, payload=_payload(problem, left), entry=CALL, interpreter=terms.interpreter)
        result = runner.run(program, limits, session)
        if result.status == "unknown":
            return Grade(0, len(tests), unknown=result.reason)
        tally.left_s -= result.wall_s
        if session.broken is not None:
            return Grade(0, len(tests), session.broken)
        if not session.ended:
            failure = ended_badly(result, limits) or Failure("it ended without giving a result")
            if not session.loaded:
                return Grade(0, len(tests), replace(failure, told=()))
            session.add(failure)
    return tally.grade()


@dataclass(slots=True)
class _Session:
    """What one process reports, a line at a time; it is stopped once nothing more is wanted of it.

    broken: why there was nothing to call.
    """

    problem: FunctionProblem
    limits: Limits
    tally: Tally
    loaded: bool = False
    broken: Failure | None = None

    def __call__(self, line: bytes) -> bool:
        if not self.ended:
            self._take(_read(line))
        return not self.ended

    @property
    def ended(self) -> bool:
        return self.broken is not None or not self.tally.goes_on

    def add(self, failure: Failure | None) -> None:
        """Count the next test."""
        test = self.problem.tests[self.tally.done]
        if failure is not None:
            told = (("Call", _worded(lambda: test.shown(self.problem.entry_point))), *failure.told)
            failure = replace(failure, told=told, test=self.tally.done + 1, public=test.public)
        self.tally.add(failure)

    def _take(self, told: Json) -> None:
        match told:
            case ["loaded"] if not self.loaded:
                self.loaded = True
            case ["broken", str(trace)] if not self.loaded:
                self.broken = raised(trace, self.limits) or _UNREADABLE
            case ["value", value]:
                self.add(self._compared(self.problem.tests[self.tally.done].expected, value))
            case ["raised", str(trace)]:
                self.add(raised(trace, self.limits) or _UNREADABLE)
            case ["unfit", str(what)]:
                self.add(Failure(f"it returned {what[:_MAX_WHAT_CHARS]}, which JSON has no form for"))
            case _:
                self.add(_UNREADABLE)

    def _compared(self, expected: Json, got: Json) -> Failure | None:
        if same_value(expected, got, self.tally.terms.float_tolerance):
            return None
        what = "it returned None" if got is None else "the result is wrong"
        return Failure(
            what, told=(("Expected", _worded(lambda: repr(expected))), ("Returned", _worded(lambda: repr(got))))
        )


def _payload(problem: FunctionProblem, tests: Sequence[CallTest]) -> bytes:
    header = json.dumps([problem.entry_point, problem.prelude])
    return "\n".join([header, *(test.call for test in tests)]).encode()


def _read(line: bytes) -> Json:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _worded(word: Callable[[], str]) -> str:
    try:
        return word()
    except RecursionError:
        return "something deeply nested"
