"""JSON as a run's files hold it: valid for every reader, so numbers that are not finite become null."""

from __future__ import annotations

from pydantic_core import to_json

from mopd_core.types import Json


def to_line(value: Json) -> str:
    """One line of JSON, newline included."""
    return to_json(value, inf_nan_mode="null").decode() + "\n"


def to_text(value: Json) -> str:
    """Indented JSON for a file that people open, newline included."""
    return to_json(value, inf_nan_mode="null", indent=2).decode() + "\n"
