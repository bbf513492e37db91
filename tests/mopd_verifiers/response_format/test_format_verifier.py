from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mopd_core.errors import VerifierError
from mopd_core.testing.verifiers import VerifierSuite
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.response_format.config import FormatConfig
from mopd_verifiers.response_format.tags import tag_problem
from mopd_verifiers.response_format.verifier import FormatVerifier

GOOD = "<think>two and two</think>\n<answer>4</answer>"
DISASTROUS = r"(a|a)*$"
"""Exponential in a run of the letter a that something else follows."""


@pytest.fixture(scope="module")
def own_format():
    return FormatVerifier(FormatConfig(tags=("think", "answer"), pattern=r"(?s)\A<think>.*</answer>\s*\Z"))


class TestFormatSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self, own_format):
        return own_format

    @pytest.fixture
    def passing(self):
        return [VerifyItem(GOOD, None), VerifyItem("<think>a</think> so <answer>b</answer> \n", {"any": 1})]

    @pytest.fixture
    def failing(self):
        return [VerifyItem("4", None), VerifyItem(f"well: {GOOD}", None), VerifyItem(GOOD.replace("4", " "), None)]


@pytest.fixture
def make():
    made = []

    def _make(**options) -> FormatVerifier:
        made.append(FormatVerifier(FormatConfig(**options)))
        return made[-1]

    yield _make
    for verifier in made:
        verifier.close()


def judge(verifier: FormatVerifier, *responses: str) -> list[Verdict]:
    return verifier.verify([VerifyItem(response, None) for response in responses])


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (GOOD, None),
        ("before <think>a</think> between <answer>b</answer> after", None),
        ("<think>a < b </ b></think><answer>4</answer>", None),
        ("<answer>4</answer>", "<think> has to stand in the response exactly once; it stands there 0 times."),
        (GOOD + GOOD, "<think> has to stand in the response exactly once; it stands there 2 times."),
        ("<think>a<answer>4</answer>", "</think> has to stand in the response exactly once; it stands there 0 times."),
        ("<answer>4</answer><think>a</think>", "<answer> has to come after </think>."),
        ("<think>a<answer>4</think></answer>", "<answer> has to come after </think>."),
        ("</think>a<think><answer>4</answer>", "</think> has to come after <think>."),
        ("<think>a</think><answer> \n</answer>", "There is nothing between <answer> and </answer>."),
        (
            "<Think>a</Think><answer>4</answer>",
            "<think> has to stand in the response exactly once; it stands there 0 times.",
        ),
    ],
)
def test_tags_stand_once_and_in_order(response, problem):
    assert tag_problem(response, ("think", "answer")) == problem


@given(st.lists(st.sampled_from(["<a>", "</a>", "<b>", "</b>", "x", " "]), max_size=9).map("".join))
def test_tags_agree_with_a_regular_expression(response: str):
    whole = re.fullmatch(r"[^<]*<a>([^<]*)</a>[^<]*<b>([^<]*)</b>[^<]*", response)
    assert (tag_problem(response, ("a", "b")) is None) == bool(whole and whole[1].strip() and whole[2].strip())


@given(st.text(max_size=50))
def test_tags_never_raise(response: str):
    tag_problem(response, ("a", "b"))


def test_a_pattern_is_searched_for_and_shown_where_it_is_absent(make):
    verifier = make(pattern=r"Answer: \d+\s*\Z")
    right, wrong = judge(verifier, "I think.\nAnswer: 42\n", "Answer: 42, or so")
    assert right == Verdict(1.0, "passed")
    assert wrong.status == "failed"
    assert wrong.feedback == r"The response does not have the form that this pattern describes: Answer: \d+\s*\Z"


def test_tags_come_before_the_pattern(make):
    (verdict,) = judge(make(tags=["think"], pattern="x"), "y")
    assert "<think>" in (verdict.feedback or "")


def test_tags_alone_start_no_process(make):
    verifier = make(tags=["think", "answer"])
    assert judge(verifier, GOOD, "4")[0] == Verdict(1.0, "passed")
    verifier.close()
    assert judge(verifier, GOOD)[0].status == "passed"


def test_a_disastrous_pattern_ends_with_its_limit_and_the_rest_goes_on(make):
    verifier = make(pattern=DISASTROUS, timeout_s=0.5)
    judge(verifier, "warm")
    started = time.monotonic()
    verdicts = judge(verifier, "a" * 40, "a" * 60 + "!" + "\n\n", "b")
    assert time.monotonic() - started < 5.0
    assert [verdict.status for verdict in verdicts] == ["passed", "failed", "passed"]
    assert verdicts[1].feedback == "The response is too involved for its form to be recognised."


def test_a_long_response_is_read_to_its_end(make):
    (verdict,) = judge(make(pattern=r"end\Z"), "x" * 10_000_000 + "end")
    assert verdict.status == "passed"


def test_a_closed_verifier_says_so(make):
    verifier = make(pattern="x")
    verifier.close()
    with pytest.raises(VerifierError, match="was closed"):
        judge(verifier, "x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "neither tags nor a pattern is given"),
        ({"pattern": "("}, "it is not a regular expression: missing )"),
        ({"tags": ["<think>"]}, "'<think>' is no name of a tag; write `think` for"),
        ({"tags": ["a", "a"]}, "a tag is named twice"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValidationError) as caught:
        FormatConfig(**options)
    assert words in str(caught.value)
