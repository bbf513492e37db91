"""How long feedback may be, and how it is cut: it goes into the teacher's prompt and into files."""

from __future__ import annotations

LONGEST_FEEDBACK = 4000
"""Characters of feedback that are kept."""
CUT_MARK = " [...] "


def cut_middle(text: str, longest: int, mark: str = CUT_MARK) -> str:
    """The text, or its beginning and end with a mark between them, in at most `longest` characters."""
    if len(text) <= longest:
        return text
    kept = max(0, longest - len(mark))
    head = kept // 2
    return (text[:head] + mark + text[len(text) - (kept - head) :])[:longest]
