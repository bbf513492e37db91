"""Finds the final answer in a response. Time is linear in the response's length, whatever it holds.

Without a box, only the last `_MAX_PROSE_CHARS` characters are looked at.
A box beats a marker (`markers` says which one counts), and a marker beats the last expression. The last box counts.
Boxes before it belong to the same answer where only a comma, `and` or `or` (and a name such as `y =`) stands between:
together they are a list, which equals a gold with just these parts. Anything else between two boxes is a change of
mind. So every response has one answer, and naming many candidates makes a list that equals no single gold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mopd_verifiers.math.markers import marked_line, without_emphasis
from mopd_verifiers.thinking import without_thinking

MAX_ANSWER_CHARS = 1000
"""What is longer is not an answer."""

_MAX_PROSE_CHARS = 100_000
_MAX_OPEN_BOXES = 20
_MAX_BOXES = 50
_MAX_BETWEEN_CHARS = 40
_FILLER = re.compile(r"\\(?:[,;!: ()\[\]]|q?quad(?![A-Za-z])|text(?![A-Za-z]))|[\s${}]")
_JOINED = re.compile(r",?(?:[,;&]|and|or)(?:(?:[A-Za-z]|\\[A-Za-z]{2,8})(?:_\w)?=)?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_CURRENCY = re.compile(r"\\?\$(?=\d[\d,.]*(?:\s+[A-Za-z]{2}|[.,;!?)]*(?:\s*\Z|\s+[A-Za-z]{2})))")

Kind = Literal["boxed", "marked", "tail"]


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The text that holds the final answer: just it (boxed), at its beginning (marked) or its end (tail)."""

    kind: Kind
    text: str


class _Box(NamedTuple):
    """Where a box's command begins, where what it holds begins, and where that ends."""

    command: int
    start: int
    end: int


def find_answer(response: str) -> FinalAnswer | None:
    """The final answer, or None in an empty response or one that is all thinking."""
    said = without_thinking(response)
    if boxes := _last_boxes(said):
        return FinalAnswer("boxed", ", ".join(boxes))
    said = without_emphasis(said[-_MAX_PROSE_CHARS:])
    marked = marked_line(said, MAX_ANSWER_CHARS)
    if marked.line:
        return FinalAnswer("marked", _CURRENCY.sub("", marked.line).strip().rstrip(".*_ "))
    tail = _CURRENCY.sub("", said[: marked.start].rstrip()[-MAX_ANSWER_CHARS:])
    return FinalAnswer("tail", tail) if tail else None


def last_box(text: str) -> str | None:
    r"""What the last closed `\boxed{...}` or `\fbox{...}` of at most `MAX_ANSWER_CHARS` characters holds."""
    box = _box_before(text, len(text))
    return text[box.start : box.end] if box else None


def _last_boxes(text: str) -> list[str]:
    """What the last box holds, and before it what those hold that belong to the same answer; each thing once."""
    box = _box_before(text, len(text))
    found: list[str] = []
    while box is not None and len(found) < _MAX_BOXES:
        found.insert(0, text[box.start : box.end].strip())
        earlier = _box_before(text, box.command)
        box = earlier if earlier and _belong_together(text[earlier.end + 1 : box.command]) else None
    return list(dict.fromkeys(found))


def _belong_together(between: str) -> bool:
    return len(between) <= _MAX_BETWEEN_CHARS and bool(_JOINED.fullmatch(_FILLER.sub("", between)))


def _box_before(text: str, end: int) -> _Box | None:
    """The last closed box that begins before `end`."""
    for _ in range(_MAX_OPEN_BOXES):
        end = max(text.rfind("\\boxed{", 0, end), text.rfind("\\fbox{", 0, end))
        if end < 0:
            return None
        start = text.index("{", end) + 1
        if (closing := _closing_brace(text, start)) is not None:
            return _Box(end, start, closing)
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for match in _BRACE.finditer(text, start, start + MAX_ANSWER_CHARS + 1):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    return None
