"""Numbers as people write them, read exactly: most answers never need computer algebra.

It is also safer: math-verify reads `10 000` as a product with zero, `1 1/2` as a product, the index of `101_2` as a
part of a name, and rounds numbers to six decimals, however small they are.
A number may be a decimal with separators and an exponent, a fraction, a mixed number, `3 \\times 10^5` or a repeating
decimal; before it a sign and a currency, after it a percent sign or a unit. `101_2` is digits in a stated base.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from mopd_verifiers.math.units import SUFFIX, contradict, unit_of

_WHOLE = r"(?:[0-9]{1,3}(?:(?:,| )[0-9]{3})+(?![0-9])|[0-9]+)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+)"
_SIGNED = rf"[+-]?\s?{_DECIMAL}"
_EXPONENT = r"[+-]?[0-9]{1,3}"
_POWER_OF_TEN = (
    rf"10\s?\^\s?(?:\{{\s?(?P<power>{_EXPONENT})\s?\}}|\(\s?(?P<power_p>{_EXPONENT})\s?\)|(?P<power_b>[0-9]))"
)
_BODY = (
    rf"(?:(?P<mantissa>{_DECIMAL})\s?(?:\\times|\\cdot|\*|x)\s?)?{_POWER_OF_TEN}"
    rf"|(?:(?P<mixed>[0-9]+)\s?)?\\frac\s?\{{\s?(?P<top>{_SIGNED})\s?\}}\s?(?:\{{\s?(?P<under>{_SIGNED})\s?\}}|(?P<under_b>[0-9]))"
    rf"|(?:(?P<mixed_s>[0-9]+)(?:\s|-))?(?P<top_s>{_DECIMAL})\s?/\s?(?P<under_s>{_DECIMAL})"
    r"|(?P<start>[0-9]*\.[0-9]*)\s?\\(?:overline|bar)\s?\{?(?P<period>[0-9]+)\}?"
    rf"|(?P<decimal>{_DECIMAL})(?:[eE](?P<exponent>{_EXPONENT}))?"
)
_NUMBER = re.compile(rf"(?P<sign>[+-]?)\s?(?:{_BODY})(?P<percent>\s?%)?(?:{SUFFIX})?")
_IN_BASE = re.compile(
    r"(?P<open>\()?\s?(?:\\text\s?\{)?(?P<digits>-?[0-9A-Za-z]*[0-9][0-9A-Za-z]*)\}?\s?(?(open)\))"
    r"\s?_\s?\{?\s?(?:\\text\s?\{)?\s?(?P<base>[0-9]{1,2}|two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen)"
    r"\s?\}{0,2}"
)
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
_BASES |= {"ten": "10", "twelve": "12", "sixteen": "16"}
_SCIENTIFIC = re.compile(r"(?<![\w.,\\])[0-9]+(?:\.[0-9]*)?[eE][+-]?[0-9]{1,3}(?![\w^])(?!\.[0-9])")
_TOLERANCE = Fraction(1, 10**6)
_WITH_POINT = ("decimal", "mantissa", "top", "under", "top_s", "under_s")


@dataclass(frozen=True, slots=True)
class Number:
    """A number's value, percent sign not applied, and how it was written. unit: a known one's short name, or empty."""

    value: Fraction
    is_decimal: bool = False
    is_percent: bool = False
    unit: str = ""


def read_number(text: str) -> Number | None:
    """The number that a normal text spells, or None."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    groups = match.groupdict()
    unit = unit_of(groups)
    value = _value(groups)
    if unit is None or value is None:
        return None
    if groups["sign"] == "-":
        value = -value
    is_decimal = any("." in (groups[name] or "") for name in _WITH_POINT)
    return Number(value, is_decimal, bool(groups["percent"]), unit)


def same_number(gold: Number, answer: Number) -> bool:
    """Equal; where a side is written with decimals, equal to a millionth, and to a millionth of the larger.

    With a percent sign on one side only, `50%` is 0.5 and also 50; but a gold below one, such as 0.5, is not `0.5%`.
    """
    if contradict(gold.unit, answer.unit):
        return False
    decimal = gold.is_decimal or answer.is_decimal
    if _close(gold.value * Fraction(100) ** (answer.is_percent - gold.is_percent), answer.value, decimal):
        return True
    as_written = gold.is_percent or (answer.is_percent and (abs(gold.value) >= 1 or not gold.value))
    return as_written and _close(gold.value, answer.value, decimal)


def same_base(gold: str, answer: str) -> bool | None:
    """Digits in a base: the digits have to be equal, and the base where both state one; None where neither does."""
    one, other = _IN_BASE.fullmatch(gold), _IN_BASE.fullmatch(answer)
    if one is None and other is None:
        return None
    if one is not None and other is not None and _base(one) != _base(other):
        return False
    digits = [match["digits"] if match else text for match, text in ((one, gold), (other, answer))]
    return digits[0].upper() == digits[1].upper()


def decimal_text(number: Fraction) -> str:
    """A decimal number without separators or exponent."""
    return format(Decimal(number.numerator) / Decimal(number.denominator), "f")


def without_exponents(text: str) -> str:
    """The text with numbers such as `3.0e2` written out: math-verify takes their `e` for a constant or a symbol."""
    return _SCIENTIFIC.sub(lambda match: decimal_text(Fraction(match[0])), text)


def _value(groups: dict[str, str | None]) -> Fraction | None:
    """The value without its sign; None for a division by zero."""
    power = groups["power"] or groups["power_p"] or groups["power_b"]
    top, under = groups["top"] or groups["top_s"], groups["under"] or groups["under_b"] or groups["under_s"]
    if power is not None:
        return _plain(groups["mantissa"] or "1") * Fraction(10) ** int(power)
    if top is not None and under is not None:
        if not _plain(under):
            return None
        return _plain(groups["mixed"] or groups["mixed_s"] or "0") + _plain(top) / _plain(under)
    if groups["period"] is not None:
        return _repeating(groups["start"] or "", groups["period"])
    return _plain(groups["decimal"] or "0") * Fraction(10) ** int(groups["exponent"] or 0)


def _plain(text: str) -> Fraction:
    return Fraction(re.sub("[, ]", "", text).rstrip("."))


def _repeating(start: str, period: str) -> Fraction:
    places = len(start.partition(".")[2])
    tail = Fraction(int(period), (10 ** len(period) - 1) * 10**places)
    return Fraction(f"0{start}0") + tail


def _close(gold: Fraction, answer: Fraction, decimal: bool) -> bool:
    if gold == answer:
        return True
    return decimal and abs(gold - answer) <= _TOLERANCE * min(Fraction(1), max(abs(gold), abs(answer)))


def _base(match: re.Match[str]) -> str:
    return _BASES.get(match["base"], match["base"])
