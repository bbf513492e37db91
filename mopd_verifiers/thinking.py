"""What of a response is its answer: the text without its thinking. Every verifier that reads answers asks here."""

from __future__ import annotations

import re

_OPENED = re.compile(r"^[ \t]*+<think>", re.MULTILINE)


def without_thinking(response: str) -> str:
    """The text after the last `</think>`, up to a line that begins with a `<think>` which is never closed."""
    said = response.rpartition("</think>")[2]
    opened = _OPENED.search(said)
    return said[: opened.start()] if opened else said
