"""Plain numbers and plain words, compared exactly: most answers never need computer algebra.

It is also safer: math-verify reads unknown words as products of their letters (so that anagrams are equal), `10 000` as
a product with zero, and rounds numbers to six decimals, however small they are.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

_SEPARATOR = r"(?:,|\\,|\\!|,\\!|\{,\}|[ \u00a0\u2009\u202f])"
_TEXT_UNITS = r"\s*\\(?:text|mathrm|mbox)\s*\{(?P<text_units>[A-Za-z ]*)\}"
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\s*(?:\\?[$€£¥])?\s*"
    rf"(?P<whole>[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+|[0-9]+)?(?P<decimals>\.[0-9]*)?"
    r"(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
    rf"(?:{_TEXT_UNITS}|\s+(?P<units>[A-Za-z]{{2,}}(?: [A-Za-z]+){{0,3}}))?\s*\.?"
)
_WORDS = re.compile(
    r"(?:\\(?:text|mathrm|textbf|mbox)\s*\{)?\s*(?P<words>[A-Za-z]{3,}|[A-Za-z]+(?: [A-Za-z]+)+)\s*\}?\s*\.?"
)
_NOT_UNITS = {
    *("and", "or", "to", "over", "times", "plus", "minus", "mod", "choose", "squared", "cubed", "factorial"),
    *("percent", "percentage", "pct", "dozen", "hundred", "thousand", "million", "billion", "trillion"),
    *("half", "halves", "third", "thirds", "quarter", "quarters", "pi", "sqrt", "sin", "cos", "tan", "log", "ln"),
}
_SCIENTIFIC = re.compile(r"(?<![\w.,\\])[0-9]+(?:\.[0-9]*)?[eE][+-]?[0-9]{1,3}(?![\w^])(?!\.[0-9])")
_TOLERANCE = Fraction(1, 10**6)


def plain_number(text: str) -> Fraction | None:
    """The number that the text spells: separators, an exponent, a currency sign and units are allowed."""
    match = _NUMBER.fullmatch(text.strip().replace("−", "-"))
    if match is None or (match["whole"] is None and match["decimals"] in (None, ".")):
        return None
    units = (match["units"] or match["text_units"] or "").lower().split()
    if not _NOT_UNITS.isdisjoint(units):
        return None
    digits = re.sub(r"[^0-9]", "", match["whole"] or "0")
    mantissa = f"{match['sign']}{digits}{match['decimals'] or ''}".rstrip(".")
    return Fraction(f"{mantissa}e{match['exponent'] or 0}")


def decimal_text(number: Fraction) -> str:
    """A plain number without separators, units or exponent."""
    return format(Decimal(number.numerator) / Decimal(number.denominator), "f")


def without_exponents(text: str) -> str:
    """The text with numbers such as `3.0e2` written out: math-verify takes their `e` for a constant or a symbol."""
    return _SCIENTIFIC.sub(lambda match: decimal_text(Fraction(match[0])), text)


def plain_words(text: str) -> str | None:
    """The words of a text answer in lower case, or None for anything else; a word of one or two letters is a symbol."""
    match = _WORDS.fullmatch(text.strip())
    return match["words"].lower() if match else None


def same_number(gold: Fraction, answer: Fraction) -> bool:
    """Equal; where either has decimals, equal to a millionth of the gold, and to a millionth."""
    if gold.denominator == answer.denominator == 1:
        return gold == answer
    return abs(gold - answer) <= _TOLERANCE * min(Fraction(1), abs(gold))
