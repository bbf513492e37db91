"""Whether a result is the expected one.

Text is compared line by line. White space at the end of a line and blank lines at the end do not count. Lines that
differ are still equal where they have the same number of words, and each pair of words is the same text or the same
number, with one number at least. JSON is compared by value: lists in order, objects by key.
Numbers: two floats (in text: with a point or an exponent) are equal within `tolerance * max(1, |expected|)`. An integer
equals a float only exactly: 2 is 2.0, and is not 2.0000001; in text, two integers have to be spelled alike. `true` and
`false` are no numbers. NaN equals NaN.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from mopd_core.types import Json

_MAX_NUMBER_CHARS = 200
_NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,2})?")
_WHOLE = re.compile(r"[+-]?[0-9]++")


def same_output(expected: str, got: str, tolerance: float) -> bool:
    """Whether a program printed what it should have."""
    if expected == got:
        return True
    wanted, given = _lines(expected), _lines(got)
    return len(wanted) == len(given) and all(
        want == give or _same_words(want.split(), give.split(), tolerance)
        for want, give in zip(wanted, given, strict=True)
    )


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().replace("\r\n", "\n").split("\n")]


def _same_words(wanted: list[str], given: list[str], tolerance: float) -> bool:
    if len(wanted) != len(given) or not any(map(_is_number, wanted)):
        return False
    return all(want == give or _same_number(want, give, tolerance) for want, give in zip(wanted, given, strict=True))


def _is_number(word: str) -> bool:
    return len(word) <= _MAX_NUMBER_CHARS and _NUMBER.fullmatch(word) is not None


def _same_number(want: str, give: str, tolerance: float) -> bool:
    if not (_is_number(want) and _is_number(give)):
        return False
    whole = [_WHOLE.fullmatch(word) is not None for word in (want, give)]
    if any(whole):
        return not all(whole) and Decimal(want) == Decimal(give)
    return _are_close(float(want), float(give), tolerance)


def same_value(expected: Json, got: Json, tolerance: float) -> bool:
    """Whether two JSON values are equal; depth costs no stack."""
    pending = [(expected, got)]
    while pending:
        want, give = pending.pop()
        if isinstance(want, list) and isinstance(give, list) and len(want) == len(give):
            pending.extend(zip(want, give, strict=True))
        elif isinstance(want, dict) and isinstance(give, dict) and want.keys() == give.keys():
            pending.extend((value, give[key]) for key, value in want.items())
        elif isinstance(want, list | dict) or not _same_scalar(want, give, tolerance):
            return False
    return True


def _same_scalar(want: Json, give: Json, tolerance: float) -> bool:
    if isinstance(want, float) and isinstance(give, float):
        return _are_close(want, give, tolerance)
    if isinstance(want, bool) or isinstance(give, bool):
        return want is give
    return bool(want == give)


def _are_close(want: float, give: float, tolerance: float) -> bool:
    if math.isfinite(want) and math.isfinite(give):
        return abs(want - give) <= tolerance * max(1.0, abs(want))
    return want == give or (math.isnan(want) and math.isnan(give))
