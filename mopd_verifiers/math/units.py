"""Units after a number: which words they may be, and which of them contradict each other.

A unit that only one side states is ignored, and so is one that is not in the table; two known ones have to agree.
"""

from __future__ import annotations

import re

_NAMES = {
    "mm": "mm millimeter millimetre",
    "cm": "cm centimeter centimetre",
    "m": "m meter metre",
    "km": "km kilometer kilometre",
    "in": "in inch inches",
    "ft": "ft foot feet",
    "yd": "yd yard",
    "mi": "mi mile",
    "mg": "mg milligram",
    "g": "g gram",
    "kg": "kg kilogram kilo",
    "oz": "oz ounce",
    "lb": "lb lbs pound",
    "ml": "ml mL milliliter millilitre",
    "l": "l L liter litre",
    "s": "s sec second",
    "min": "min minute",
    "h": "h hr hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "yr year",
    "cent": "cent",
    "dollar": "dollar",
    "degree": "deg degree",
    "radian": "rad radian",
    "N": "N newton",
    "J": "J joule",
    "W": "W watt",
    "V": "V volt",
    "mph": "mph",
}
_KNOWN = {name: unit for unit, names in _NAMES.items() for name in names.split()}
_KNOWN |= {f"{name}s": unit for name, unit in _KNOWN.items() if len(name) > 2 and not name.endswith("s")}
_NOT_UNITS = {
    *("and", "or", "to", "over", "times", "plus", "minus", "mod", "choose", "squared", "cubed", "factorial"),
    *("dozen", "hundred", "thousand", "million", "billion", "trillion", "half", "halves", "third", "thirds"),
    *("quarter", "quarters", "pi", "sqrt", "sin", "cos", "tan", "log", "ln", "am", "pm", "noon", "midnight"),
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"),
    *("december", "st", "nd", "rd", "th", "remainder", "base"),
}
_POWERS = ("square ", "sq ", "cubic ", "cu ")
_WORDS = r"[A-Za-z]+(?:[ /.-][A-Za-z]+){0,5}\.?"
_EXPONENT = r"(?:\s?\^\s?\{?\s?-?[1-9]\s?\}?)?"
SUFFIX = (
    rf"(?:\s?\\text\s?\{{\s?(?P<text_unit>{_WORDS})?{_EXPONENT}\s?\}}{_EXPONENT}"
    rf"|\s(?P<unit>{_WORDS}){_EXPONENT}"
    rf"|(?P<joined>{'|'.join(name for name in _KNOWN if len(name) > 1)}){_EXPONENT}"
    r"|\s?\^\\circ(?:\s?(?P<scale>[CF]))?)"
)
"""A pattern for what may follow a number; its named groups go to `unit_of`."""

_TRAILING = re.compile(rf"\s?\\text\s?\{{\s?(?P<words>{_WORDS})?{_EXPONENT}\s?\}}{_EXPONENT}\Z")


def unit_of(groups: dict[str, str | None]) -> str | None:
    """The unit that `SUFFIX` matched: a known one's short name, "" for another or none, None where it is no unit."""
    if groups["text_unit"] or groups["joined"]:
        return _canonical(groups["text_unit"] or groups["joined"] or "")
    words = groups["unit"] or ""
    first = re.split(r"[ /.-]", words)[0]
    if 0 < len(first) < 3 and first not in _KNOWN:
        return None
    return _canonical(words)


def without_text_unit(expression: str) -> str:
    """An expression without the `\\text{cm}` at its end."""
    match = _TRAILING.search(expression)
    if not match or not match.start() or _canonical(match["words"] or "") is None:
        return expression
    return expression[: match.start()].strip()


def is_unit_word(word: str) -> bool:
    """Whether a word may follow a number without changing it, as `thousand` does."""
    return word.lower() not in _NOT_UNITS


def contradict(first: str, second: str) -> bool:
    """Both are known units, and not the same one."""
    return bool(first and second and first != second)


def _canonical(words: str) -> str | None:
    words = words.strip(". ")
    if not _NOT_UNITS.isdisjoint(re.split(r"[ /.-]", words.lower())):
        return None
    for power in _POWERS:
        words = words.removeprefix(power)
    first = re.split(r"[ /]", words)[0]
    return _KNOWN.get(first) or _KNOWN.get(first.lower(), "")
