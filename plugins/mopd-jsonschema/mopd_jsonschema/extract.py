"""From a response to a JSON value: the last fenced block, read strictly. Time is linear in the response's length."""

from __future__ import annotations

import json
import math
from typing import Any


class NotJsonError(ValueError):
    """The text is not strict JSON; the message says why."""


def last_json_block(response: str) -> str | None:
    """The last closed block that starts with a line "```json" and ends with a line "```"."""
    block: str | None = None
    lines: list[str] | None = None
    for line in response.split("\n"):
        fence = line.strip()
        if lines is None:
            lines = [] if fence.lower() == "```json" else None
        elif fence == "```":
            block, lines = "\n".join(lines), None
        else:
            lines.append(line)
    return block


def read_json(text: str) -> Any:
    """Parse strict JSON: no NaN or Infinity, no number beyond a float, no repeated key. Raises `NotJsonError`."""
    try:
        return json.loads(text, parse_constant=_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError:
        raise NotJsonError("it is nested too deeply") from None
    except ValueError as error:
        raise NotJsonError(str(error)) from None


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for position, key in enumerate(keys) if key in keys[:position])
        raise ValueError(f"the key {repeated[:50]!r} comes twice in one object")
    return values
