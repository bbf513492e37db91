"""Fenced blocks of a response, as Markdown has them. Time is linear in the text's length.

A block is opened by three or more backticks or tildes, and closed by at least as many; what an indented fence holds
loses that much indentation. The last block may be left open, and one that is open where a Python block begins ends
there. Only the first `MAX_FENCES` fences of a text count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

_FENCE = re.compile(r"^([ \t]*+)(`{3,}+|~{3,}+)([^\n]*+)$", re.MULTILINE)
_PYTHON = re.compile(r"[{.\s]*(?:python|py)[\d.]*(?![\w+#-])", re.IGNORECASE)
_TEXT = re.compile(r"\S")
MAX_FENCES = 10_000
_FURTHER_INDENT = 3
"""A closing fence may be indented by so much more than its opening one; further in, it is the program's own text."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its opening fence, and where in the text it ends."""

    opening: re.Match[str]
    end: int

    @property
    def start(self) -> int:
        """Where in the text its opening fence is."""
        return self.opening.start()

    @property
    def tag(self) -> str:
        """What stands behind the opening fence."""
        return self.opening[3]

    @property
    def is_blank(self) -> bool:
        return _TEXT.search(self.opening.string, self.opening.end(), self.end) is None

    @property
    def held(self) -> str:
        """The lines between the fences."""
        text, indent = self.opening.string[self.opening.end() + 1 : self.end], len(self.opening[1])
        return re.sub(rf"^[ \t]{{1,{indent}}}+", "", text, flags=re.MULTILINE) if indent else text

    @property
    def preference(self) -> tuple[int, int]:
        """Larger for a likelier program: Python before no tag before another tag; then the later one."""
        kind = 2 if _PYTHON.match(self.tag) else 1 if not self.tag.strip() else 0
        return kind, self.start


def has_fence(text: str) -> bool:
    """Whether any line is a fence."""
    return _FENCE.search(text) is not None


def blocks(text: str) -> Iterator[Block]:
    """All blocks, in order; lines have to end in a plain newline."""
    opened: re.Match[str] | None = None
    for fence in islice(_FENCE.finditer(text), MAX_FENCES):
        if opened is None:
            if "`" not in fence[3] or fence[2][0] == "~":
                opened = fence
        elif _is_alike(fence, opened) and not fence[3].strip():
            yield Block(opened, fence.start())
            opened = None
        elif _is_alike(fence, opened) and _PYTHON.match(fence[3]):
            yield Block(opened, fence.start())
            opened = fence
    if opened is not None:
        yield Block(opened, len(text))


def _is_alike(fence: re.Match[str], opened: re.Match[str]) -> bool:
    """Whether a fence could end what the other one opened."""
    return fence[2].startswith(opened[2]) and len(fence[1]) <= len(opened[1]) + _FURTHER_INDENT
