"""What a reference may be: one gold answer, or several of which any is right.

A number, a text, a list of those, or `{"answer": ..., "alternatives": [...]}`.
"""

from __future__ import annotations

import math
from decimal import Decimal

from mopd_core.errors import DataError
from mopd_core.types import Json, VerifyItem

_MAX_SHOWN_CHARS = 200
_KEYS = {"answer", "alternatives"}


def golds_of(item: VerifyItem) -> tuple[str, ...]:
    """The gold answers as texts, numbers without an exponent. Raises `DataError` for anything else."""
    reference = item.reference
    if isinstance(reference, dict) and "answer" in reference and reference.keys() <= _KEYS:
        alternatives = reference.get("alternatives", [])
        reference = [reference["answer"], *alternatives] if isinstance(alternatives, list) else None
    golds = [_text(gold) for gold in (reference if isinstance(reference, list) else [reference])]
    if not golds or None in golds:
        raise bad_reference(item)
    return tuple(gold for gold in golds if gold is not None)


def bad_reference(item: VerifyItem, problem: str = "cannot be read") -> DataError:
    """The error for a reference that no response can be judged against."""
    shown = repr(item.reference)[:_MAX_SHOWN_CHARS]
    return DataError(
        f"prompt {item.prompt_id!r}: the reference {shown} of the verifier `math` {problem}; it has to be a number, "
        "one mathematical expression as text (LaTeX or plain), or a list of such alternatives. "
        "Repair the row or its column mapping"
    )


def _text(gold: Json) -> str | None:
    if isinstance(gold, str):
        return gold if gold.strip() else None
    if isinstance(gold, int | float) and not isinstance(gold, bool) and math.isfinite(gold):
        return format(Decimal(repr(gold)), "f")
    return None
