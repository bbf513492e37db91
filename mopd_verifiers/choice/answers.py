"""Where a response gives its answer: in a tag, in a box, or after a marker such as `Answer:`; in this order.

Time is linear in the response's length. A new form of answer is a function here that yields spans, and its place in
`find_letters`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mopd_verifiers.choice.letters import MAX_ANSWER_CHARS, letters_at_start, letters_of
from mopd_verifiers.choice.prose import letters_in_prose
from mopd_verifiers.thinking import without_thinking

_MAX_SPANS = 50
_MAX_MARKED_CHARS = 300
_MAX_LEAD_CHARS = 60
_TAG = re.compile(r"<\s{0,3}(/?)\s{0,3}answer\s{0,3}>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_MARKER = re.compile(
    r"(?:\b(?:answer|correct\s{1,3}(?:option|choice))\b[*_\s]{0,4}(?:(?:is|(?:should|must|would)\sbe)\b|[:：])|答案\s?[是为:：])"
    r"[*_\s:：]{0,20}",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\b(?:if|whether|hope|suppose|assuming|doubt)|(?:\bnot|n['’]t)\s+(?:think|believe|say|mean|sure))\s+"
    r"(?:(?!then\b|so\b)\w+\s+){0,3}\Z",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"(?:[\s,;/&|.$*()]|\b(?:(?i:and|or|the|final)|[A-Z])\b)*")
_MAX_NOTHING_CHARS = 40
_IS_WORD = re.compile(r"\w")


class Span(NamedTuple):
    """An answer and where in the text it stands, its tag, box or marker included."""

    start: int
    end: int
    answer: str


class Found(NamedTuple):
    """The letters that a response gives, none where its answer is something else. answer: as it is written."""

    letters: frozenset[str]
    answer: str


def find_letters(response: str, *, prose: bool) -> Found | None:
    """The answer of a response, None where there is none; `prose` allows for one that is not marked as such."""
    said = without_thinking(response)
    if tags := _tags(said):
        return Found(_joined(said, tags, letters_of), tags[-1].answer.strip())
    for spans, read in ((_boxes(said), letters_of), (_marked(said), letters_at_start)):
        naming = [span for span in spans if read(span.answer)]
        if naming:
            return Found(_joined(said, naming, read), naming[-1].answer.strip())
    letters = letters_in_prose(said) if prose else frozenset[str]()
    return Found(letters, "") if letters else None


def _joined(text: str, spans: Sequence[Span], read: Callable[[str], frozenset[str]]) -> frozenset[str]:
    """The letters of the last span, and of those before it as long as nothing is said in between."""
    letters = read(spans[-1].answer)
    for earlier, later in zip(reversed(spans[:-1]), reversed(spans[1:]), strict=True):
        between = text[earlier.end : later.start]
        if not letters or len(between) > _MAX_NOTHING_CHARS or not _NOTHING.fullmatch(between):
            break
        letters |= read(earlier.answer)
    return letters


def _tags(text: str) -> list[Span]:
    """The last closed tags that hold a word, or else one that is open to the end, as a stop string leaves it."""
    marks = deque(_TAG.finditer(text), maxlen=2 * _MAX_SPANS)
    pairs = zip(marks, list(marks)[1:], strict=False)
    spans = [
        Span(opening.start(), closing.end(), text[opening.end() : closing.start()])
        for opening, closing in pairs
        if not opening[1] and closing[1]
    ]
    if not spans and marks and not marks[-1][1]:
        spans = [Span(marks[-1].start(), len(text), text[marks[-1].end() :])]
    return [span for span in spans if _IS_WORD.search(span.answer)]


def _boxes(text: str) -> Iterator[Span]:
    for box in deque(_BOX.finditer(text), maxlen=_MAX_SPANS):
        end = _closing_brace(text, box.end())
        if end is not None:
            yield Span(box.start(), end + 1, text[box.end() : end])


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start, start + MAX_ANSWER_CHARS + 1):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.start()
    return None


def _marked(text: str) -> Iterator[Span]:
    """What follows markers on their lines, or on the next; a marker that its own sentence denies is none."""
    markers = deque(_MARKER.finditer(text), maxlen=_MAX_SPANS)
    next_starts = [*(marker.start() for marker in markers), len(text)][1:]
    for marker, next_start in zip(markers, next_starts, strict=True):
        if not _DENIED.search(text, max(0, marker.start() - _MAX_LEAD_CHARS), marker.start()):
            line = text[marker.end() : marker.end() + _MAX_MARKED_CHARS].partition("\n")[0]
            end = marker.end() + len(line)
            yield Span(marker.start(), end if end <= next_start else marker.end(), line)
