from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mopd_core.testing.verifiers import VerifierSuite
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.length.config import LengthConfig
from mopd_verifiers.length.verifier import LengthVerifier


def judge(verifier: LengthVerifier, response: str, finish_reason="stop") -> Verdict:
    (verdict,) = verifier.verify([VerifyItem(response, None, finish_reason=finish_reason)])
    return verdict


@pytest.fixture
def falling():
    return LengthVerifier(LengthConfig(soft_chars=10, max_chars=20))


class TestLengthSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self):
        return LengthVerifier(LengthConfig(soft_chars=10, max_chars=20, fail_truncated=True))

    @pytest.fixture
    def passing(self):
        return [VerifyItem("short", None), VerifyItem("x" * 19, {"any": "reference"})]

    @pytest.fixture
    def failing(self):
        return [VerifyItem("x" * 20, None), VerifyItem("short", None, finish_reason="length")]


@pytest.mark.parametrize(
    ("chars", "reward", "status"),
    [
        (1, 1, "passed"),
        (10, 1, "passed"),
        (11, 0.9, "passed"),
        (15, 0.5, "passed"),
        (19, 0.1, "passed"),
        (20, 0, "failed"),
        (21, 0, "failed"),
        (10**6, 0, "failed"),
    ],
)
def test_the_reward_falls_in_a_straight_line(falling, chars, reward, status):
    verdict = judge(falling, "x" * chars)
    assert (verdict.reward, verdict.status) == (pytest.approx(reward), status)


def test_a_limit_without_a_fall():
    hard = LengthVerifier(LengthConfig(soft_chars=10, max_chars=10))
    assert [judge(hard, "x" * n).reward for n in (9, 10, 11)] == [1.0, 1.0, 0.0]
    assert judge(hard, "x" * 11).feedback == "The response has 11 characters, too many: up to 10 cost nothing."


def test_feedback_says_how_long_it_is_and_what_is_wanted(falling):
    assert judge(falling, "x" * 10).feedback is None
    terms = "up to 10 cost nothing, 20 or more are worth nothing."
    assert judge(falling, "x" * 15).feedback == f"The response has 15 characters, more than it should: {terms}"
    assert judge(falling, "x" * 1500).feedback == f"The response has 1,500 characters, too many: {terms}"


def test_a_truncated_response_fails_only_where_that_is_asked_for(falling):
    strict = LengthVerifier(LengthConfig(soft_chars=10, max_chars=20, fail_truncated=True))
    assert judge(falling, "short", "length").status == "passed"
    assert judge(strict, "short", "length") == Verdict(
        0.0, "failed", "The response was cut off at the limit of tokens before it ended."
    )
    assert judge(strict, "short").status == "passed"


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 150))
def test_longer_is_never_better_and_a_status_fits_its_reward(soft: int, more: int, chars: int):
    verifier = LengthVerifier(LengthConfig(soft_chars=soft, max_chars=soft + more))
    verdict, longer = judge(verifier, "x" * chars), judge(verifier, "x" * (chars + 1))
    assert longer.reward <= verdict.reward
    assert (verdict.status == "passed") == (verdict.reward > 0)
    assert (verdict.reward == 1.0) == (chars <= soft)


@pytest.mark.parametrize("options", [{"soft_chars": 5, "max_chars": 4}, {"soft_chars": 0, "max_chars": 4}, {}])
def test_lengths_that_make_no_sense_are_refused(options):
    with pytest.raises(ValidationError):
        LengthConfig(**options)
