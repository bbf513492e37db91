"""Finds the final answer in a response. Time is linear in the response's length, whatever it holds.

A box beats a marker (`markers` says which one counts), and a marker beats the last expression; the last box counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mopd_verifiers.math.markers import marked_line, without_emphasis

MAX_ANSWER_CHARS = 1000
"""What is longer is not an answer."""

_MAX_OPEN_BOXES = 20
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_CURRENCY = re.compile(r"\$(?=\d[\d,.]*(?:\s+[A-Za-z]{2}|[.,;!?)]*(?:\s*\Z|\s+[A-Za-z]{2})))")

Kind = Literal["boxed", "marked", "tail"]


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The text that holds the final answer: just it (boxed), at its beginning (marked) or its end (tail)."""

    kind: Kind
    text: str


def find_answer(response: str) -> FinalAnswer | None:
    """The final answer, or None in an empty response or one that is all thinking."""
    said = response.rpartition("</think>")[2]
    if (boxed := last_box(said)) is not None:
        return FinalAnswer("boxed", boxed.strip())
    said = without_emphasis(said)
    if marked := marked_line(said, MAX_ANSWER_CHARS):
        return FinalAnswer("marked", _CURRENCY.sub("", marked).strip().rstrip(".*_ "))
    tail = _CURRENCY.sub("", said.rstrip()[-MAX_ANSWER_CHARS:])
    return FinalAnswer("tail", tail) if tail else None


def last_box(text: str) -> str | None:
    r"""What the last closed `\boxed{...}` or `\fbox{...}` of at most `MAX_ANSWER_CHARS` characters holds."""
    end = len(text)
    for _ in range(_MAX_OPEN_BOXES):
        end = max(text.rfind("\\boxed{", 0, end), text.rfind("\\fbox{", 0, end))
        if end < 0:
            return None
        start = text.index("{", end) + 1
        if (closing := _closing_brace(text, start)) is not None:
            return text[start:closing]
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for match in _BRACE.finditer(text, start, start + MAX_ANSWER_CHARS + 1):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    return None
