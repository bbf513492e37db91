"""The gold of a multiple-choice prompt: which letters are right, and how many options there are.

Raises `DataError` naming the prompt for every reference that is not one of the forms in the config's docstring.
"""

from __future__ import annotations

import re
import reprlib
from string import ascii_uppercase
from typing import NamedTuple

from mopd_core.errors import DataError
from mopd_core.types import Json, VerifyItem

_MAX_SHOWN_CHARS = 200
_LETTER = re.compile(r"\(?\s?([A-Za-z])\s?\)?\.?")


class Gold(NamedTuple):
    """letters: capitals, all of which have to be given. is_list: several may be. options: the letters on offer."""

    letters: frozenset[str]
    is_list: bool
    options: str


def read_gold(item: VerifyItem) -> Gold:
    """The gold of an item. Raises `DataError` for a reference that is no letter, no list of them, or out of range."""
    reference = item.reference
    if not isinstance(reference, dict):
        return _gold(item, reference, len(ascii_uppercase))
    if "answer" not in reference or not reference.keys() <= {"answer", "options"}:
        raise _bad_gold(item, "it is an object with other fields than `answer` and `options`")
    count = reference.get("options", len(ascii_uppercase))
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= len(ascii_uppercase):
        raise _bad_gold(item, f"its `options` is {reprlib.repr(count)}, and a number from 2 to 26 is allowed")
    return _gold(item, reference["answer"], count)


def _gold(item: VerifyItem, answer: Json, count: int) -> Gold:
    given = answer if isinstance(answer, list) else [answer]
    matches = [_LETTER.fullmatch(letter.strip()) for letter in given if isinstance(letter, str)]
    letters = frozenset(match[1].upper() for match in matches if match)
    if not letters or len(letters) != len(given):
        raise _bad_gold(item, "its answer is not a letter, nor a list of different letters")
    options = ascii_uppercase[:count]
    if not letters <= set(options):
        raise _bad_gold(item, f"its answer is beyond its {count} options, A to {options[-1]}")
    return Gold(letters, isinstance(answer, list), options)


def _bad_gold(item: VerifyItem, problem: str) -> DataError:
    shown = reprlib.repr(item.reference)[:_MAX_SHOWN_CHARS]
    return DataError(
        f"prompt {item.prompt_id!r}: the verifier `choice` cannot use its reference {shown}: {problem}. "
        'Allowed: "B", ["A", "C"], or {"answer": "B", "options": 10}. Repair the row or its column mapping'
    )
