"""JSON as a run's files hold it: valid for every reader, so numbers that are not finite become null."""

from __future__ import annotations

import json
import math

from mopd_core.types import Json


def finite(value: Json) -> Json:
    """The same value with every NaN and infinity in it replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def to_line(value: Json) -> str:
    """One line of JSON, newline included."""
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False) + "\n"


def to_text(value: Json) -> str:
    """Indented JSON for a file that people open, newline included."""
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False, indent=2) + "\n"
