from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.code.compare import same_output, same_value

TOLERANCE = 1e-6

SAME_OUTPUT = [
    ("1\n", "1"),
    ("1", "1\n\n \n"),
    ("1 \n2\t\n", "1\n2"),
    ("1\r\n2\r\n", "1\n2\n"),
    ("", "\n"),
    ("  *\n ***", "  *\n ***\n"),
    ("1 2 3", "1  2   3"),
    ("1 2", " 1 2"),
    ("0.5", "0.5000001"),
    ("0.333333333", "0.33333333333333"),
    ("Case 1: 3.14159", "Case 1: 3.1415900001"),
    ("1e-7", "0.0"),
    ("2", "2.0"),
    ("2.0", "2"),
    ("1.5E3", "1500.0"),
    ("1000000.5", "1000001.4"),
    ("nan", "nan"),
    ("é", "é"),
]
OTHER_OUTPUT = [
    ("1", "2"),
    ("1", ""),
    ("", "1"),
    ("1\n2", "1 2"),
    ("1\n\n2", "1\n2"),
    ("1", "\n1"),
    (" *", "*"),
    ("a b", "a  b"),
    ("Yes", "yes"),
    ("2", "2.0000001"),
    ("2.0000001", "2"),
    ("1000000007", "1000000007.4"),
    ("1000000007", "1000000008"),
    ("007", "7"),
    ("0.5", "0.50001"),
    ("1.0", "nan"),
    ("nan", "inf"),
    ("1.5", "1.5 1.5"),
    ("1.5", "1.5x"),
    ("1e99", "-1e99"),
    ("1.5", "1_5"),
    ("1.5", "١.٥"),
    ("9007199254740993", "9007199254740992.0"),
    ("9" * 300, "9" * 299 + "8"),
]


@pytest.mark.parametrize(("expected", "got"), SAME_OUTPUT)
def test_same_output(expected, got):
    assert same_output(expected, got, TOLERANCE)


@pytest.mark.parametrize(("expected", "got"), OTHER_OUTPUT)
def test_other_output(expected, got):
    assert not same_output(expected, got, TOLERANCE)


SAME_VALUE = [
    (1, 1),
    (2, 2.0),
    (2.0, 2),
    (0.1 + 0.2, 0.3),
    (1e9, 1e9 + 100),
    (0.0, 1e-7),
    (math.nan, math.nan),
    (math.inf, math.inf),
    (None, None),
    ("a", "a"),
    ([1, [2.0, "x"]], [1, [2.0000001, "x"]]),
    ({"a": 1, "b": [True]}, {"b": [True], "a": 1}),
    ([], []),
    (10**4000, 10**4000),
]
OTHER_VALUE = [
    (1, True),
    (True, 1),
    (0, False),
    (False, None),
    (0, None),
    (2, 2.0000001),
    (2.0000001, 2),
    (1.0, 1.00001),
    (1.0, math.nan),
    (math.inf, -math.inf),
    (math.inf, 1e308),
    ("1", 1),
    ("a", "a "),
    ([1], [1, 1]),
    ([1], 1),
    (1, [1]),
    ([1, 2], [2, 1]),
    ([], {}),
    ({}, []),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1}, {"b": 1}),
    (2**53 + 1, float(2**53)),
]


@pytest.mark.parametrize(("expected", "got"), SAME_VALUE)
def test_same_value(expected, got):
    assert same_value(expected, got, TOLERANCE)


@pytest.mark.parametrize(("expected", "got"), OTHER_VALUE)
def test_other_value(expected, got):
    assert not same_value(expected, got, TOLERANCE)


def test_no_tolerance_is_equality():
    assert same_output("0.5", "0.50", 0.0)
    assert not same_output("0.5", "0.5000001", 0.0)
    assert not same_value(0.3, 0.1 + 0.2, 0.0)


def test_depth_costs_no_stack():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert same_value(deep, deep, TOLERANCE)
    assert not same_value([deep], deep, TOLERANCE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(JSON)
def test_every_value_equals_itself_read_anew(value):
    assert same_value(value, json.loads(json.dumps(value)), TOLERANCE)


@given(JSON, JSON)
def test_without_tolerance_it_agrees_with_json_text(one, other):
    def is_plain(text: str) -> bool:
        return not any(mark in text for mark in ("true", "false", ".", "e", "E", "NaN", "Infinity", '"'))

    texts = json.dumps(one), json.dumps(other)
    if all(map(is_plain, texts)):
        assert same_value(one, other, 0.0) == (texts[0] == texts[1])


WORDS = st.sampled_from(["1", "1.0", "-2.5", "1e5", "x", "", " ", "  ", "\n", "\t", "nan", "é"]) | st.text(max_size=4)


@given(st.lists(WORDS, max_size=12).map("".join))
def test_an_output_equals_itself_with_blank_ends(text):
    assert same_output(text, text, TOLERANCE)
    assert same_output(text, text.rstrip() + " \n\n", TOLERANCE)


@given(st.lists(WORDS, max_size=12).map("".join), st.lists(WORDS, max_size=12).map("".join))
def test_any_two_outputs_compare(one, other):
    assert same_output(one, other, 0.0) <= same_output(one, other, TOLERANCE)


@pytest.mark.parametrize("text", ["1" * 10**6, "1." * 10**6, "1 " * 10**6, "1e" * 10**6, "9" * 190 + "e99"])
def test_odd_numbers_take_no_time(text):
    assert not same_output(text, f"{text}0", TOLERANCE) or text.endswith("e99")
