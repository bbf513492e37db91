"""The conformance suite, and with a scripted sandbox what does not depend on a real one."""

from __future__ import annotations

import pytest
from code_cases import DOUBLE, INCREMENT, SUM, fenced, judged
from scripted_runner import ScriptedRunner

from mopd_core.errors import DataError
from mopd_core.testing.verifiers import VerifierSuite
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.code.config import CodeConfig
from mopd_verifiers.code.verifier import CodeVerifier, build
from mopd_verifiers.sandbox.program import Result

RIGHT = {
    "stdin": (SUM, "print(sum(map(int, input().split())))"),
    "function": (DOUBLE, "def double(n):\n    return 2 * n"),
    "method": (DOUBLE, "class Solution:\n    def double(self, n):\n        return n + n"),
    "humaneval": (INCREMENT, "def increment(n: Optional[int]):\n    return helper(n)"),
    "humaneval, body": (INCREMENT, "    return n + 1"),
}
WRONG = {
    "stdin": (SUM, "print(3)"),
    "stdin, no program": (SUM, "It is three:"),
    "function": (DOUBLE, "def double(n):\n    return n"),
    "function, none": (DOUBLE, "x = 1"),
    "humaneval": (INCREMENT, "def increment(n):\n    return 2"),
    "humaneval, none": (INCREMENT, "def decrement(n):\n    return 2"),
}


def items(cases):
    return [VerifyItem(fenced(source), reference, prompt_id=name) for name, (reference, source) in cases.items()]


def make():
    return build(CodeConfig(workers=2, timeout_s=5.0), None)


@pytest.fixture(scope="module")
def own_code():
    return make()


class TestCodeSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self, own_code):
        return own_code

    @pytest.fixture
    def passing(self):
        return items(RIGHT)

    @pytest.fixture
    def failing(self):
        return items(WRONG)

    @pytest.fixture
    def bad_references(self):
        references = [None, "x", {"kind": "stdin"}, {**SUM, "tests": []}, {**INCREMENT, "test": "def check(:"}]
        return [VerifyItem(fenced("x"), reference, prompt_id=f"bad-{n}") for n, reference in enumerate(references)]

    @pytest.fixture
    def new_verifier(self):
        return make


def scripted(*results: Result, **config):
    runner = ScriptedRunner(list(results), caveats=config.pop("caveats", ()))
    return CodeVerifier(CodeConfig(workers=1, **config), runner), runner


OK = {"status": "ok", "exit_code": 0}


def test_an_empty_response_runs_nothing():
    verifier, runner = scripted()
    verdict = judged(verifier, "", SUM)
    assert (verdict.status, runner.programs) == ("failed", [])
    assert "fenced block" in verdict.feedback


def test_a_fence_may_be_required():
    verifier, runner = scripted(require_fence=True)
    assert judged(verifier, "print(3)", SUM).status == "failed"
    assert runner.programs == []


def test_without_a_fence_the_response_is_the_program_and_feedback_says_so():
    wrong = Result(**OK, stdout=b"4")
    verifier, runner = scripted(wrong)
    verdict = judged(verifier, "print(4)", SUM)
    assert runner.programs[0].source == "print(4)\n"
    assert verdict.feedback.startswith("The response has no fenced block")


def test_every_verdict_carries_the_sandbox_s_caveats():
    verifier, _ = scripted(Result(**OK, stdout=b"3"), Result(**OK, stdout=b"4"), caveats=("sandbox without landlock",))
    verdict = judged(verifier, fenced("x"), SUM)
    assert (verdict.status, verdict.caveats) == ("passed", ("sandbox without landlock",))


def test_a_lost_sandbox_is_unknown():
    verifier, _ = scripted(Result("unknown", reason="no worker starts"))
    assert judged(verifier, fenced("x"), SUM) == Verdict(0.0, "unknown", "Not judged: no worker starts.")


def test_a_fraction():
    verifier, _ = scripted(Result(**OK, stdout=b"3"), Result(**OK, stdout=b"5"), reward="fraction")
    verdict = judged(verifier, fenced("x"), SUM)
    assert (verdict.reward, verdict.status) == (0.5, "failed")
    assert verdict.feedback.startswith("1 of 2 tests passed.")


def test_limits_are_the_config_s_unless_the_reference_has_its_own():
    verifier, runner = scripted(*[Result(**OK)] * 2, timeout_s=3, memory_mb=100, output_kb=2)
    judged(verifier, fenced("x"), SUM)
    judged(verifier, fenced("x"), {**SUM, "timeout_s": 1, "memory_mb": 50})
    given, own = runner.limits
    assert (given.wall_s, given.memory_mb, given.output_bytes) == (3, 100, 2048)
    assert (own.wall_s, own.memory_mb, own.output_bytes) == (1, 50, 2048)


def test_a_bad_reference_names_its_prompt():
    verifier, runner = scripted()
    for call in (verifier.verify, verifier.check):
        with pytest.raises(DataError, match="p-1"):
            call([VerifyItem("x", {"kind": "stdin"}, prompt_id="p-1")])
    assert runner.programs == []


def test_checking_runs_nothing():
    verifier, runner = scripted()
    verifier.check(items(RIGHT))
    assert runner.programs == []


def test_closing_closes_the_runner():
    verifier, runner = scripted()
    verifier.close()
    assert runner.closed == 1


def test_what_is_expected_is_in_no_program_but_the_checker_s():
    gold = "gold-4711"
    references = [
        {"kind": "stdin", "tests": [{"input": "", "output": gold}]},
        {"kind": "function", "entry_point": "f", "tests": [{"args": [], "expected": gold}]},
        {
            "kind": "humaneval",
            "prompt": "def f():\n",
            "entry_point": "f",
            "test": f"def check(candidate):\n    {gold!r}",
        },
    ]
    verifier, runner = scripted(*[Result("crashed", signal="SIGSEGV")] * 4)
    for reference in references:
        assert judged(verifier, fenced("x"), reference).status == "failed"
    holding = [
        gold.encode() in program.payload + program.stdin + program.source.encode() for program in runner.programs
    ]
    assert holding == [False, False, True, False]
    assert runner.programs[2].entry == "mopd_verifiers.code.checker:check"
