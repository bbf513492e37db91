"""Grades programs that read standard input: one run a test, exit code 0, the output compared here."""

from __future__ import annotations

from dataclasses import replace

from mopd_verifiers.code.compare import same_output
from mopd_verifiers.code.driver import RUN_WITH_PRELUDE
from mopd_verifiers.code.failures import ended_badly
from mopd_verifiers.code.grade import Failure, Grade, Tally, Terms
from mopd_verifiers.code.problems import StdinProblem, StdinTest
from mopd_verifiers.sandbox.program import SCRIPT, Limits, Program, Result, Runner


def grade_stdin(problem: StdinProblem, source: str, terms: Terms, runner: Runner) -> Grade:
    """Run the program once a test."""
    tests = problem.tests[: terms.max_tests]
    tally = Tally(terms, len(tests))
    while tally.goes_on:
        test = tests[tally.done]
        program = Program(
            source,
            stdin=test.input.encode("utf-8", "replace"),
            entry=RUN_WITH_PRELUDE if problem.prelude else SCRIPT,
            interpreter=terms.interpreter,
        )
        limits = terms.limits(min(terms.timeout_s, tally.left_s))
        result = runner.run(program, limits)
        if result.status == "unknown":
            return Grade(0, len(tests), unknown=result.reason)
        tally.left_s -= result.wall_s
        tally.add(_failure(result, limits, test, tally))
    return tally.grade()


def _failure(result: Result, limits: Limits, test: StdinTest, tally: Tally) -> Failure | None:
    """Why the next test failed; None where it passed."""
    printed = result.stdout.decode("utf-8", "replace")
    failure = ended_badly(result, limits)
    if failure is None and same_output(test.output, printed, tally.terms.float_tolerance):
        return None
    told = failure.told if failure else (("Expected output", test.output), ("Output", printed))
    return replace(
        failure or Failure("the output is wrong"),
        told=(("Input", test.input), *told),
        test=tally.done + 1,
        public=test.public,
    )
