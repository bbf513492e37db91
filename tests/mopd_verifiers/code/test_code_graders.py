"""Grading with a scripted sandbox.

Rules: (1) a test passes only by its own result; (2) with `stop_at_failure` nothing runs after the first failure;
(3) otherwise a test that ends its process costs that test alone; (4) time is shared by all tests of a problem;
(5) a sandbox that could not run leaves the grade unknown; (6) what is expected is in no program that is run.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_runner import ScriptedRunner, lines

from mopd_verifiers.code.driver import CALL, RUN_WITH_PRELUDE
from mopd_verifiers.code.function import grade_function
from mopd_verifiers.code.grade import Grade, Terms
from mopd_verifiers.code.problems import CallTest, FunctionProblem, OwnLimits, StdinProblem, StdinTest
from mopd_verifiers.code.stdin import grade_stdin
from mopd_verifiers.sandbox.program import SCRIPT, Interpreter, Result

FRACTION = Terms(
    timeout_s=2.0,
    problem_timeout_s=60.0,
    memory_mb=256,
    output_bytes=1 << 20,
    float_tolerance=1e-6,
    max_tests=None,
    stop_at_failure=False,
    interpreter=Interpreter(),
)
ALL = replace(FRACTION, stop_at_failure=True)
TRACE = (
    "Traceback (most recent call last):\n"
    '  File "driver.py", line 9, in call\n    whatever\n'
    '  File "solution.py", line 3, in solve\n    return 1 // n\n           ~~^~~\n'
    "ZeroDivisionError: integer division or modulo by zero\n"
)


def printed(text: str, **result) -> Result:
    return Result(**{"status": "ok", "exit_code": 0, "stdout": text.encode(), "wall_s": 0.1, **result})


def echo(count: int) -> StdinProblem:
    return StdinProblem(tuple(StdinTest(f"{n}\n", f"{n}\n") for n in range(count)), OwnLimits())


def double(count: int) -> FunctionProblem:
    tests = tuple(CallTest(json.dumps([[n], {}]), 2 * n) for n in range(count))
    return FunctionProblem("solve", tests, OwnLimits())


def reported(*parts, **result) -> Result:
    return Result(**{"status": "ok", "exit_code": 0, "report": lines(*parts), "wall_s": 0.1, **result})


class TestStdin:
    def grade(self, problem, terms, *results) -> tuple[Grade, ScriptedRunner]:
        runner = ScriptedRunner(list(results))
        return grade_stdin(problem, "source", terms, runner), runner

    def test_all_pass(self):
        grade, runner = self.grade(echo(2), ALL, printed("0"), printed("1\n\n"))
        assert (grade.passed, grade.total, grade.failure) == (2, 2, None)
        assert [program.stdin for program in runner.programs] == [b"0\n", b"1\n"]
        assert {program.entry for program in runner.programs} == {SCRIPT}

    def test_the_first_failure_ends_it(self):
        grade, runner = self.grade(echo(3), ALL, printed("0"), printed("7"))
        assert (grade.passed, grade.total, len(runner.programs)) == (1, 3, 2)
        assert grade.failure.test == 2
        assert grade.failure.told == (("Input", "1\n"), ("Expected output", "1\n"), ("Output", "7"))

    def test_a_fraction_goes_on(self):
        grade, _ = self.grade(echo(3), FRACTION, printed("0"), printed("7"), printed("2"))
        assert (grade.passed, grade.total, grade.failure.test) == (2, 3, 2)

    @pytest.mark.parametrize(
        ("result", "what"),
        [
            (printed("0", status="error", exit_code=3), "it ended with exit code 3"),
            (printed("0", status="crashed", exit_code=None, signal="SIGSEGV"), "it crashed (SIGSEGV)"),
            (printed("0", status="timeout", exit_code=None), "it took longer than 2 s"),
            (printed("0", status="output", exit_code=None), "it wrote more than 1024 KiB"),
            (printed("0", status="error", exit_code=1, stderr=TRACE.encode()), "it raised ZeroDivisionError"),
            (
                printed("0", status="error", exit_code=1, stderr=b"MemoryError\n"),
                "it needed more than 256 MiB of memory",
            ),
        ],
    )
    def test_the_right_output_is_not_enough(self, result, what):
        grade, _ = self.grade(echo(1), ALL, result)
        assert (grade.passed, grade.failure.what) == (0, what)

    def test_an_error_where_nothing_is_expected_fails(self):
        problem = StdinProblem((StdinTest("", ""),), OwnLimits())
        grade, _ = self.grade(problem, ALL, printed("", status="error", exit_code=1, stderr=TRACE.encode()))
        assert grade.passed == 0
        assert grade.failure.trace == ("line 3, in solve: return 1 // n",)

    def test_time_is_shared(self):
        slow = [printed(str(n), wall_s=1.5) for n in range(3)]
        grade, runner = self.grade(echo(9), replace(FRACTION, problem_timeout_s=4.0), *slow)
        assert (grade.passed, grade.total) == (3, 9)
        assert [limits.wall_s for limits in runner.limits] == [2.0, 2.0, 1.0]
        assert grade.failure.what == "all tests together took longer than 4 s"

    def test_only_the_first_tests_count(self):
        grade, _ = self.grade(echo(9), replace(ALL, max_tests=2), printed("0"), printed("1"))
        assert (grade.passed, grade.total) == (2, 2)

    def test_a_lost_sandbox_decides_nothing(self):
        grade, _ = self.grade(echo(2), FRACTION, printed("0"), Result("unknown", reason="no worker starts"))
        assert (grade.unknown, grade.passed) == ("no worker starts", 0)

    def test_the_prelude_is_another_entry(self):
        _, runner = self.grade(replace(echo(1), prelude=True), ALL, printed("0"))
        assert runner.programs[0].entry == RUN_WITH_PRELUDE

    def test_output_that_is_no_text(self):
        grade, _ = self.grade(echo(1), ALL, Result("ok", 0, stdout=b"\xff\xfe"))
        assert grade.passed == 0


class TestFunction:
    def grade(self, problem, terms, *results) -> tuple[Grade, ScriptedRunner]:
        runner = ScriptedRunner(list(results))
        return grade_function(problem, "source", terms, runner), runner

    def test_all_pass_in_one_process(self):
        values = (["value", 0], ["value", 2], ["value", 4.0])
        grade, runner = self.grade(double(3), ALL, reported(["loaded"], *values))
        assert (grade.passed, grade.total, grade.failure) == (3, 3, None)
        (program,) = runner.programs
        assert program.entry == CALL
        assert program.payload.splitlines() == [b'["solve", false]', b"[[0], {}]", b"[[1], {}]", b"[[2], {}]"]
        assert (runner.limits[0].wall_s, runner.limits[0].step_s) == (6.0, 2.0)

    def test_the_first_wrong_result_ends_it(self):
        grade, _ = self.grade(double(3), ALL, reported(["loaded"], ["value", 0], ["value", 3], ["value", 4]))
        assert (grade.passed, grade.total, grade.failure.test) == (1, 3, 2)
        assert grade.failure.told == (("Call", "solve(1)"), ("Expected", "2"), ("Returned", "3"))

    def test_a_fraction_goes_on(self):
        values = (["value", 0], ["value", 3], ["raised", TRACE], ["value", 6])
        grade, _ = self.grade(double(4), FRACTION, reported(["loaded"], *values))
        assert (grade.passed, grade.total, grade.failure.test) == (2, 4, 2)

    @pytest.mark.parametrize("end", ["timeout", "crashed", "ok", "error", "output"])
    def test_a_call_that_ends_the_process_costs_its_own_test(self, end):
        died = reported(["loaded"], ["value", 0], status=end)
        grade, runner = self.grade(double(3), FRACTION, died, reported(["loaded"], ["value", 4]))
        assert (grade.passed, grade.total, grade.failure.test) == (2, 3, 2)
        assert runner.programs[1].payload.splitlines()[1:] == [b"[[2], {}]"]

    def test_nothing_is_tried_again_where_loading_failed(self):
        grade, _ = self.grade(double(3), FRACTION, reported(["broken", TRACE]))
        assert (grade.passed, grade.total, grade.failure.test) == (0, 3, None)
        assert grade.failure.what == "it raised ZeroDivisionError"

    def test_nothing_is_tried_again_where_loading_hangs(self):
        grade, runner = self.grade(double(3), FRACTION, reported(status="timeout"))
        assert (grade.failure.what, len(runner.programs)) == ("it took longer than 2 s", 1)

    def test_time_is_shared(self):
        hangs = [reported(["loaded"], status="timeout", wall_s=2.0) for _ in range(3)]
        grade, runner = self.grade(double(9), replace(FRACTION, problem_timeout_s=5.0), *hangs)
        assert (grade.passed, grade.total, len(runner.programs)) == (0, 9, 3)
        assert [limits.wall_s for limits in runner.limits] == [5.0, 3.0, 1.0]

    def test_lines_after_the_last_test_count_for_nothing(self):
        grade, _ = self.grade(double(1), FRACTION, reported(["loaded"], ["value", 1], ["value", 0], ["value", 0]))
        assert (grade.passed, grade.total) == (0, 1)

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"x",
            b"passed",
            b"null",
            b"[" * 100_000,
            b"9" * 5000,
            b"\xff",
            ["passed"],
            ["value"],
            ["value", 0, 0],
            0,
            ["raised", 0],
        ],
    )
    def test_a_forged_line_is_a_wrong_result(self, line):
        grade, _ = self.grade(double(1), ALL, reported(["loaded"], line))
        assert (grade.passed, grade.failure.what) == (0, "its result could not be read")

    def test_loading_twice_is_a_wrong_result(self):
        grade, _ = self.grade(double(1), ALL, reported(["loaded"], ["loaded"], ["value", 0]))
        assert grade.passed == 0

    def test_a_lost_sandbox_decides_nothing(self):
        grade, _ = self.grade(double(2), ALL, reported(["loaded"], ["value", 0], status="unknown", reason="gone"))
        assert grade.unknown == "gone"

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            (["value", None], "it returned None"),
            (["unfit", "a generator"], "it returned a generator, which JSON has no form for"),
            (["raised", TRACE], "it raised ZeroDivisionError"),
        ],
    )
    def test_what_is_said(self, line, what):
        grade, _ = self.grade(double(1), ALL, reported(["loaded"], line))
        assert grade.failure.what == what

    def test_nothing_expected_is_ever_sent(self):
        problem = FunctionProblem("solve", (CallTest("[[7], {}]", "gold-4711"),), OwnLimits())
        _, runner = self.grade(problem, ALL, reported(["loaded"], ["value", 0]))
        assert b"gold" not in b"".join([runner.programs[0].payload, runner.programs[0].stdin])

    @given(
        st.lists(st.binary(max_size=40) | st.sampled_from(lines(["loaded"], ["value", 0], ["value", 2])), max_size=8)
    )
    def test_no_report_raises_or_gives_more_than_its_results(self, report):
        runner = ScriptedRunner([Result("ok", 0, report=tuple(report)), *[Result("crashed", signal="SIGSEGV")] * 3])
        grade = grade_function(double(3), "source", FRACTION, runner)
        assert grade.passed <= sum(line.startswith(b'["value"') for line in report)
