"""Finds the program in a response: in its last fenced block. Time is linear in the response's length.

Only text after the last `</think>` is looked at. Among blocks that hold anything, the last one tagged as Python beats
the last one without a tag, which beats the last one tagged otherwise. A block is as in Markdown: three or more
backticks or tildes, closed by at least as many; what an indented fence holds loses that much indentation. The last
block may be left open, and one that is open where a Python block begins ends there. A response without any fence is a
program as a whole, and is marked as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

_FENCE = re.compile(r"^([ \t]*+)(`{3,}+|~{3,}+)([^\n]*+)$", re.MULTILINE)
_PYTHON = re.compile(r"[{.\s]*(?:python|py)[\d.]*(?![\w+#-])", re.IGNORECASE)
_DOCUMENT = re.compile(r"[{.\s]*(?:markdown|md)(?![\w+#-])", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\A(?:[ \t]*+\n)++")
_TEXT = re.compile(r"\S")
_FURTHER_INDENT = 3
"""A closing fence may be indented by so much more than its opening one; further in, it is the program's own text."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program as the response gives it. fenced: whether it stood in a block of its own."""

    source: str
    fenced: bool


_Span: TypeAlias = tuple[re.Match[str], int]
"""An opening fence, and where what it opened ends."""


def extract(response: str) -> Candidate | None:
    """The program, or None where there is no text at all, or nothing in the fenced blocks."""
    said = response.rpartition("</think>")[2].replace("\r\n", "\n")
    if _FENCE.search(said) is None:
        return Candidate(_BLANK_LINES.sub("", said).rstrip() + "\n", fenced=False) if said.strip() else None
    best = _best(said)
    if best is not None and _DOCUMENT.match(best[0][3]):
        best = _best(_held(best)) or best
    return Candidate(_held(best), fenced=True) if best is not None else None


def _best(text: str) -> _Span | None:
    return max((span for span in _spans(text) if not _is_blank(span)), key=_preference, default=None)


def _spans(text: str) -> Iterator[_Span]:
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            if "`" not in fence[3] or fence[2][0] == "~":
                opened = fence
        elif _is_alike(fence, opened) and not fence[3].strip():
            yield opened, fence.start()
            opened = None
        elif _is_alike(fence, opened) and _PYTHON.match(fence[3]):
            yield opened, fence.start()
            opened = fence
    if opened is not None:
        yield opened, len(text)


def _is_alike(fence: re.Match[str], opened: re.Match[str]) -> bool:
    """Whether a fence could end what the other one opened."""
    return fence[2].startswith(opened[2]) and len(fence[1]) <= len(opened[1]) + _FURTHER_INDENT


def _is_blank(span: _Span) -> bool:
    opening, end = span
    return _TEXT.search(opening.string, opening.end(), end) is None


def _preference(span: _Span) -> tuple[int, int]:
    """Python before no tag before another tag; then the later one."""
    opening, _ = span
    kind = 2 if _PYTHON.match(opening[3]) else 1 if not opening[3].strip() else 0
    return kind, opening.start()


def _held(span: _Span) -> str:
    opening, end = span
    text = opening.string[opening.end() + 1 : end]
    return re.sub(rf"^[ \t]{{1,{len(opening[1])}}}+", "", text, flags=re.MULTILINE) if opening[1] else text
