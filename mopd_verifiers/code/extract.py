"""Finds the program in a response: in its last fenced block. Time is linear in the response's length.

Text up to a closing `</think>` is not looked at. Among blocks that hold anything, the last one tagged as Python beats
the last one without a tag, which beats the last one tagged otherwise. A response without any fence is a program as a
whole, and is marked as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mopd_verifiers.fences import Block, blocks, has_fence
from mopd_verifiers.thinking import without_thinking

_DOCUMENT = re.compile(r"[{.\s]*(?:markdown|md)(?![\w+#-])", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\A(?:[ \t]*+\n)++")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program as the response gives it. fenced: whether it stood in a block of its own."""

    source: str
    fenced: bool


def extract(response: str) -> Candidate | None:
    """The program, or None where there is no text at all, or nothing in the fenced blocks."""
    said = without_thinking(response).replace("\r\n", "\n")
    if not has_fence(said):
        return Candidate(_BLANK_LINES.sub("", said).rstrip() + "\n", fenced=False) if said.strip() else None
    best = _best(said)
    if best is not None and _DOCUMENT.match(best.tag):
        best = _best(best.held) or best
    return Candidate(best.held, fenced=True) if best is not None else None


def _best(text: str) -> Block | None:
    return max(
        (block for block in blocks(text) if not block.is_blank), key=lambda block: block.preference, default=None
    )
