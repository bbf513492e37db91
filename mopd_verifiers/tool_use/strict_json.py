"""Reads one JSON value from the middle of a text: no duplicate keys, no NaN, bounded depth and length.

What cannot be read raises `UnreadableError`, whose text is fit for feedback; nothing else does.
"""

from __future__ import annotations

import json
import math

from mopd_core.types import Json

MAX_JSON_CHARS = 1_000_000
"""Of a value; what is longer is cut there, and so cannot be read."""
MAX_DEPTH = 64
"""Lists and objects inside each other."""


class UnreadableError(ValueError):
    """What ought to be a call, or its arguments, is not."""


def read_value(text: str, start: int) -> tuple[Json, int]:
    """The value that begins at `start`, and where it ends. Time is at most linear in `MAX_JSON_CHARS`."""
    try:
        value, length = _DECODER.raw_decode(text[start : start + MAX_JSON_CHARS])
    except json.JSONDecodeError as error:
        raise UnreadableError(f"broken JSON: {error.msg} (character {error.pos + 1} of it)") from error
    except RecursionError as error:
        raise UnreadableError(_TOO_DEEP) from error
    except ValueError as error:
        raise UnreadableError(f"broken JSON: {error}") from error
    if _is_deeper(value, MAX_DEPTH):
        raise UnreadableError(_TOO_DEEP)
    return value, start + length


def read_whole(text: str) -> Json:
    """The value that a text is, with nothing but white space around it."""
    text = text.strip()
    value, end = read_value(text, 0)
    if end != len(text):
        raise UnreadableError(f"broken JSON: more follows the value (character {end + 1} of it)")
    return value


def _is_deeper(value: Json, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(
        _is_deeper(inner, levels - 1) for inner in (value.values() if isinstance(value, dict) else value)
    )


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number is too large")
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


_MAX_DIGITS = 1000
_TOO_DEEP = f"JSON nested more than {MAX_DEPTH} levels deep"
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)
