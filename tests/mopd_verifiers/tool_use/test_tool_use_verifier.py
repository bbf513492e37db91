"""Verdicts, by hand: comparison by value, order, fractions, references, and feedback that names but tells no value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_core.errors import DataError
from mopd_core.testing.verifiers import MAX_FEEDBACK_CHARS, VerifierSuite
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.tool_use.calls import Call
from mopd_verifiers.tool_use.compare import canonical, compare
from mopd_verifiers.tool_use.config import ToolUseConfig
from mopd_verifiers.tool_use.verifier import ToolUseVerifier


def call(name, **arguments):
    return {"name": name, "arguments": arguments}


def judge(response, gold, **options) -> Verdict:
    """The verdict on a response, given as text or as the calls that it makes in JSON."""
    text = response if isinstance(response, str) else json.dumps(response)
    verifier = ToolUseVerifier(ToolUseConfig(**options))
    (verdict,) = verifier.verify([VerifyItem(text, gold, prompt_id="p-1")])
    return verdict


class TestToolUseSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self):
        return ToolUseVerifier(ToolUseConfig())

    @pytest.fixture
    def new_verifier(self):
        return lambda: ToolUseVerifier(ToolUseConfig())

    @pytest.fixture
    def bad_references(self):
        return [VerifyItem("", gold) for gold in (None, "f", [1], {}, [{"name": "f", "arguments": "x"}])]

    @pytest.fixture
    def passing(self):
        return [
            VerifyItem('Action: f\nAction Input: {"x": 1}', [{"Action": "f", "Action_Input": '{"x": 1}'}]),
            VerifyItem('[{"name": "f", "arguments": {"x": 1.0}}]', json.dumps([call("f", x=1)])),
            VerifyItem("It is noon.", []),
        ]

    @pytest.fixture
    def failing(self):
        return [
            VerifyItem('Action: f\nAction Input: {"x": 2}', [call("f", x=1)]),
            VerifyItem("It is noon.", [call("f", x=1)]),
            VerifyItem('{"name": "f", "arguments": {}}', []),
        ]


class TestToolUseSuiteInPart(VerifierSuite):
    @pytest.fixture
    def verifier(self):
        return ToolUseVerifier(ToolUseConfig(order="exact", reward="fraction"))

    @pytest.fixture
    def new_verifier(self):
        return lambda: ToolUseVerifier(ToolUseConfig(order="exact", reward="fraction"))

    @pytest.fixture
    def bad_references(self):
        return [VerifyItem("", gold) for gold in (None, "f", [1], {}, [{"name": "f", "arguments": "x"}])]

    @pytest.fixture
    def passing(self):
        return [VerifyItem(json.dumps([call("f"), call("g")]), [call("f"), call("g")])]

    @pytest.fixture
    def failing(self):
        return [
            VerifyItem(json.dumps([call("g"), call("f")]), [call("f"), call("g")]),
            VerifyItem(json.dumps([call("f")]), [call("f"), call("g")]),
        ]


@pytest.mark.parametrize(
    ("gold", "given_value", "is_equal"),
    [
        (1, 1.0, True),
        (0.9, 0.90, True),
        (0, -0.0, True),
        (2**53 + 1, float(2**53), False),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (None, False, False),
        (None, "", False),
        ("a", "A", False),
        ("a", "a ", False),
        ("é", "e\u0301", False),
        ([1, 2], [2, 1], False),
        ([1, 2], [1, 2.0], True),
        ([1], [1, 1], False),
        ({"a": 1, "b": [{"c": True}]}, {"b": [{"c": True}], "a": 1}, True),
        ({"a": 1, "b": [{"c": True}]}, {"b": [{"c": 1}], "a": 1}, False),
        ({"a": None}, {}, False),
        ([], {}, False),
        ('{"a": 1}', {"a": 1}, False),
    ],
)
def test_equal_by_value(gold, given_value, is_equal):
    assert (canonical(gold) == canonical(given_value)) is is_equal
    assert (judge([call("f", x=given_value)], [call("f", x=gold)]).reward == 1.0) is is_equal


F1, F2, G = call("f", x=1), call("f", x=2), call("g")


@pytest.mark.parametrize(
    ("given_calls", "gold", "any_order", "exact_order"),
    [
        ([F1, F2, G], [F1, F2, G], 1, 1),
        ([G, F2, F1], [F1, F2, G], 1, 1 / 3),
        ([F2, F1], [F1, F2], 1, 0),
        ([F1, F1], [F1, F2], 1 / 2, 1 / 2),
        ([F1, F1], [F1, F1], 1, 1),
        ([F1], [F1, F1], 1 / 2, 1 / 2),
        ([F1, F1, F1], [F1], 1 / 3, 1 / 3),
        ([F1, F2, G], [F1], 1 / 3, 1 / 3),
        ([G], [F1, G], 1 / 2, 0),
        ([G], [F1], 0, 0),
        ([F1, G], [], 0, 0),
    ],
)
def test_rewards(given_calls, gold, any_order, exact_order):
    for order, share in (("any", any_order), ("exact", exact_order)):
        verdict = judge(given_calls, gold, order=order, reward="fraction")
        assert (verdict.reward, verdict.status) == (pytest.approx(share), "passed" if share == 1 else "failed")
        assert judge(given_calls, gold, order=order).reward == int(share == 1)


def test_a_call_that_cannot_be_read_is_worth_nothing_in_part_either():
    response = 'Action: f\nAction Input: {"x": 1}\nAction: g\nAction Input: {x}'
    assert judge(response, [F1, G], reward="fraction").reward == 0.0


@pytest.mark.parametrize(
    ("given_calls", "gold", "feedback"),
    [
        ([F1], [F1, G], "A call of `g` is missing."),
        ([F1, G], [F1], "The call of `g` is not expected."),
        ([F1, F1, F1], [F1], "The call of `f` is not expected. (2 times)"),
        ([call("h")], [G], "A call of `g` is missing.\nThe call of `h` is not expected."),
        ([F2], [F1], "The call of `f` is wrong: `x` has the wrong value."),
        ([call("f", x="1")], [F1], "The call of `f` is wrong: `x` has the wrong type, text."),
        ([call("f", y=1)], [F1], "The call of `f` is wrong: `x` is missing, `y` is not expected."),
        (
            [call("f", x={"a": {"b": 7, "c": 0}})],
            [call("f", x={"a": {"b": 8, "secret": 1}})],
            "The call of `f` is wrong: `x.a` is incomplete, `x.a.c` is not expected, `x.a.b` has the wrong value.",
        ),
        ([call("f", x=[1, 7])], [call("f", x=[1, 2])], "The call of `f` is wrong: `x[1]` has the wrong value."),
        ([call("f", x=[1])], [call("f", x=[1, 2])], "The call of `f` is wrong: `x` has the wrong number of items."),
        ("I call f.", [F1], "No tool call was found. A call is a line `Action: NAME`"),
        ("", [F1], "The response says nothing."),
        ("Action: f", [F1], "The tool calls cannot be read: the Action `f` has no Action Input."),
    ],
)
def test_feedback(given_calls, gold, feedback):
    assert judge(given_calls, gold).feedback.startswith(feedback)


def test_feedback_on_the_order():
    assert judge([G, F1], [F1, G], order="exact").feedback == "The calls are right, but not their order."


def test_feedback_is_bounded_and_can_be_written_to_a_file():
    gold = [call(f"tool_{i}_{'n' * 150}", **{f"{j}{'k' * 200}": 1 for j in range(9)}) for i in range(90)]
    given_calls = [call(entry["name"], **{f"{j}\ud800\n{'m' * 200}": 1 for j in range(9)}) for entry in gold]
    feedback = judge(given_calls, gold).feedback
    assert len(feedback) <= MAX_FEEDBACK_CHARS
    assert feedback.splitlines()[-1].startswith("And ")
    assert feedback.encode("utf-8")


SECRETS = st.sampled_from(["s3cret", 987654321, ["s3cret"], {"s3cret": "s3cret"}, {"a": ["s3cret", 987654321]}])
GUESSES = st.sampled_from(["no", 0, ["no"], ["no", "no"], {"a": ["no", 1]}, {"a": "no"}, {}, None])


@settings(deadline=None)
@given(SECRETS, GUESSES)
def test_feedback_never_tells_a_value(secret, guess):
    feedback = judge([call("f", x=guess)], [call("f", x=secret)]).feedback
    assert "s3cret" not in feedback
    assert "987654321" not in feedback


@pytest.mark.parametrize(
    "gold",
    [
        [{"Action": "f", "Action_Input": {"x": 1}}],
        [{"Action": "f", "Action_Input": '{"x": 1}'}],
        [{"Action": "[Optional]f", "Action_Input": '{"x": 1}'}],
        [{"name": "f", "arguments": '{"x": 1}'}],
        [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        {"tool_calls": [call("f", x=1)]},
        call("f", x=1),
        json.dumps([call("f", x=1)], indent=2),
    ],
)
def test_references(gold):
    assert judge([F1], gold).status == "passed"
    assert judge([F2], gold).status == "failed"


def nested(levels):
    return [nested(levels - 1)] if levels else []


@pytest.mark.parametrize(
    "gold",
    [
        *(
            None,
            "",
            "f",
            1,
            {},
            "{}",
            [1],
            [[]],
            [{}],
            '[{"name": "f"}]',
            [{"name": "f", "arguments": None}],
            "[",
            "[] []",
        ),
        *(
            [{"name": "", "arguments": {}}],
            [{"name": "f", "arguments": "x"}],
            [F1, {"x": 1}],
            [call("f", x=float("nan"))],
        ),
        *('[{"name": "f", "arguments": {"x": 1, "x": 2}}]', [call("f", x={1, 2})], nested(900), "[" * 100_000),
    ],
    ids=range(21),
)
def test_a_bad_reference_names_its_prompt(gold):
    verifier = ToolUseVerifier(ToolUseConfig())
    items = [VerifyItem("", [F1]), VerifyItem("", gold, prompt_id="p-7")]
    for read in (verifier.verify, verifier.check):
        with pytest.raises(DataError, match=r"'p-7'.*`tool-use`.*Allowed") as raised:
            read(items)
        assert len(str(raised.value)) < 1000


def test_no_tool_is_needed():
    assert judge("It is noon.", []).status == "passed"
    assert judge("Action: None\nAction Input: None", "[]").status == "passed"
    assert judge(" ", []).status == "failed"
    assert judge("<think>no tool</think>", []).status == "failed"
    assert judge("Action: f", []).status == "failed"
    assert judge([G], []).feedback == "The call of `g` is not expected."


CALLS = st.lists(st.builds(Call, st.sampled_from("fg"), st.dictionaries(st.sampled_from("xy"), st.integers(0, 1))))


@settings(deadline=None)
@given(CALLS, CALLS)
def test_matching_is_symmetric_and_complete(gold, given_calls):
    for in_order in (False, True):
        there = compare(gold, given_calls, in_order=in_order)
        back = compare(given_calls, gold, in_order=in_order)
        assert (there.missing, there.extra, there.score) == (back.extra, back.missing, back.score)
        assert (there.score == 1.0) is (
            (gold == given_calls) if in_order else (sorted(gold, key=str) == sorted(given_calls, key=str))
        )


@settings(deadline=None)
@given(st.permutations([F1, F2, G, call("h", z={"a": [1, {"b": None}]})]))
def test_any_order_is_any_order(calls):
    gold = [F1, F2, G, call("h", z={"a": [1, {"b": None}]})]
    assert judge(calls, gold).status == "passed"
    assert (judge(calls, gold, order="exact").status == "passed") is (calls == gold)
