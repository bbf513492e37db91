from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.math.plain import decimal_text, plain_number, plain_words, same_number, without_exponents


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18", 18),
        ("-3", -3),
        ("−3", -3),
        ("+3", 3),
        ("025", 25),
        ("1,080", 1080),
        ("12,345,678", 12345678),
        ("10 000", 10000),
        (r"1\,080", 1080),
        ("1{,}080", 1080),
        ("3.50", Fraction(7, 2)),
        (".5", Fraction(1, 2)),
        ("18.", 18),
        ("$18", 18),
        (r"\$1,080.50", Fraction(2161, 2)),
        ("18 dollars", 18),
        (r"18 \text{ dollars}", 18),
        ("18 miles per hour", 18),
        ("1e3", 1000),
        ("3.0e2", 300),
        ("3.0E+2", 300),
        ("-1.5e-3", Fraction(-3, 2000)),
        ("3.e2", 300),
        ("3e2 dollars", 300),
        ("e3", None),
        (".e3", None),
        ("3e", None),
        ("3e2.5", None),
        ("3e^2", None),
        ("1e1000", None),
        ("18 thousand", None),
        ("18 percent", None),
        ("18%", None),
        ("1,2", None),
        ("1, 080", None),
        ("12 34", None),
        ("1/2", None),
        ("2x", None),
        ("dollars", None),
        (".", None),
        ("-", None),
        ("", None),
        ("٣", None),
    ],
)
def test_plain_number(text, expected):
    assert plain_number(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Evelyn", "evelyn"),
        (r"\text{Evelyn}", "evelyn"),
        ("no change", "no change"),
        ("xy", None),
        ("B", None),
        ("a1", None),
    ],
)
def test_plain_words(text, expected):
    assert plain_words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1e3", "x = 1000"),
        ("it is 3.0E+2.", "it is 300."),
        ("(2.5e-1, 4)", "(0.25, 4)"),
        ("2e^3", "2e^3"),
        ("2e3^2", "2e3^2"),
        ("2e3.5", "2e3.5"),
        ("2e3x", "2e3x"),
        ("x2e3", "x2e3"),
        ("2e1000", "2e1000"),
    ],
)
def test_without_exponents(text, expected):
    assert without_exponents(text) == expected


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("7", "7", True),
        ("7", "8", False),
        ("1000000000000", "1000000000001", False),
        ("0.333333", "0.3333333", True),
        ("0.333", "0.334", False),
        ("0.0000001", "0", False),
        ("1000000.1", "1000000.2", False),
        ("27.0", "27", True),
    ],
)
def test_same_number(gold, answer, same):
    assert same_number(plain_number(gold), plain_number(answer)) is same


@given(st.integers(), st.sampled_from([",", r"\,", "{,}", ""]))
def test_separators_do_not_change_a_number(value, separator):
    assert plain_number(f"{value:,}".replace(",", separator)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_decimal_text_reads_back(value):
    number = Fraction(value)
    assert plain_number(decimal_text(number)) == number


@given(st.text())
def test_any_text_can_be_looked_at(text):
    plain_number(text)
    plain_words(text)
    without_exponents(text)
