from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.math.numbers import Number, decimal_text, read_number, same_base, same_number, without_exponents
from mopd_verifiers.math.spelling import normal


def value(text):
    number = read_number(normal(text))
    return None if number is None else number.value


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
        ("€18", 18),
        (r"\$1,080.50", Fraction(2161, 2)),
        ("18 dollars", 18),
        (r"18 \text{ dollars}", 18),
        ("18 miles per hour", 18),
        ("18 m/s", 18),
        (r"18\text{ m/s}^2", 18),
        ("1e3", 1000),
        ("3.0e2", 300),
        ("3.0E+2", 300),
        ("-1.5e-3", Fraction(-3, 2000)),
        ("3e2 dollars", 300),
        (r"3 \times 10^{-2}", Fraction(3, 100)),
        (r"10^{3}", 1000),
        ("1/2", Fraction(1, 2)),
        (r"-\frac{1}{2}", Fraction(-1, 2)),
        (r"\frac{-1}{2}", Fraction(-1, 2)),
        ("2 1/2", Fraction(5, 2)),
        (r"-2\frac12", Fraction(-5, 2)),
        ("2½", Fraction(5, 2)),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"1.2\overline{34}", Fraction(611, 495)),
        ("٣", 3),
        ("1/0", None),
        ("e3", None),
        (".e3", None),
        ("3e", None),
        ("3e2.5", None),
        ("3e^2", None),
        ("1e1000", None),
        ("18 thousand", None),
        ("5 pm", None),
        ("4 July", None),
        ("1,2", None),
        ("1, 080", None),
        ("12 34", None),
        ("2x", None),
        ("2 x", None),
        ("2 ab", None),
        ("dollars", None),
        (".", None),
        ("-", None),
        ("", None),
    ],
)
def test_value(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50%", Number(Fraction(50), is_percent=True)),
        (r"50\%", Number(Fraction(50), is_percent=True)),
        ("12.5 percent", Number(Fraction(25, 2), is_decimal=True, is_percent=True)),
        ("5 cm", Number(Fraction(5), unit="cm")),
        ("5 Miles", Number(Fraction(5), unit="mi")),
        ("5 square inches", Number(Fraction(5), unit="in")),
        ("5 apples", Number(Fraction(5))),
        ("3.", Number(Fraction(3))),
    ],
)
def test_how_it_was_written(text, number):
    assert read_number(normal(text)) == number


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("7", "7", True),
        ("7", "8", False),
        ("1000000000000", "1000000000001", False),
        ("0.333333", "0.3333333", True),
        ("0.333", "0.334", False),
        ("1/3", "0.333333", True),
        ("1/3", "333333/1000000", False),
        ("0.0000001", "0", False),
        ("1000000.1", "1000000.2", False),
        ("27.0", "27", True),
        ("50%", "0.5", True),
        ("50%", "50", True),
        ("50%", "5", False),
        ("0.5", "50%", True),
        ("0.5", "0.5%", False),
        ("50", "50%", True),
        ("50", "0.5", False),
        ("5 cm", "5 mm", False),
        ("5 cm", "5 apples", True),
    ],
)
def test_same_number(gold, answer, same):
    assert same_number(read_number(gold), read_number(answer)) is same


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("101_2", "101_{2}", True),
        ("101_2", "101", True),
        ("101", "101_2", True),
        ("101_2", "101_3", False),
        ("5", "6", None),
    ],
)
def test_same_base(gold, answer, same):
    assert same_base(gold, answer) is same


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


@given(st.integers(), st.sampled_from([",", r"\,", "{,}", ""]))
def test_separators_do_not_change_a_number(number, separator):
    assert value(f"{number:,}".replace(",", separator)) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_decimal_text_reads_back(number):
    assert value(decimal_text(Fraction(number))) == Fraction(number)


@given(st.fractions(max_denominator=999))
def test_a_fraction_reads_back_in_every_form(number):
    sign, size = "-" if number < 0 else "", abs(number)
    whole, rest = divmod(size.numerator, size.denominator)
    forms = [f"{sign}{size.numerator}/{size.denominator}", f"{sign}\\dfrac{{{size.numerator}}}{{{size.denominator}}}"]
    forms += [f"{sign}{whole}\\frac{{{rest}}}{{{size.denominator}}}", f"{sign}{whole} {rest}/{size.denominator}"]
    assert {value(form) for form in forms} == {number}
