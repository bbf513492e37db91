"""The part of a sentence that states an answer: `5` in "5 because 3 + 2", `$x = 3$` in "that $x = 3$ holds".

Only what stands at the beginning, or in the sentence's first run of `$...$`, counts; alternatives (`5 or 6`) stay
together, so that naming many does not help.
"""

from __future__ import annotations

import re

from mopd_verifiers.math.numbers import read_number
from mopd_verifiers.math.spelling import normal
from mopd_verifiers.math.units import is_unit_word
from mopd_verifiers.math.words import phrase

_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)")
_MATH = r"(?:\$\$?[^$\n]+\$\$?|\\\([^\n]+?\\\)|\\\[[^\n]+?\\\])"
_RUN = re.compile(rf"{_MATH}(?:(?:\s*,\s*|\s*,?\s+(?:and|or)\s+){_MATH})*")
_PROSE = re.compile(
    r"\\[A-Za-z]+\s?(?:\{[A-Za-z ]*\})?"
    r"|(?<![\w\\])(?!(?:sqrt|sin|cos|tan|log|and)\b)(?P<word>[A-Za-z]{3,}"
    r"|(?:is|to|of|in|as|so|if|by|we|it|at|he|be|my|do|no|on|an|up|us|me))(?![A-Za-z])"
)
_REASON = re.compile(r"\s*,?\s*\b(?:because|since)\b")
_FORMAL = re.compile(r"[\d\\]")
_LOOSE_END = re.compile(r"(?:[\s,;:(]|\b(?:and|or))+\Z")


def statement(text: str) -> str:
    """What the first sentence states; empty where only a search for an expression can tell."""
    sentence = _SENTENCE_END.split(text, maxsplit=1)[0].strip()
    word = _first_word(sentence)
    if word is None or read_number(normal(sentence)):
        return sentence
    lead = _LOOSE_END.sub("", sentence[: word.start()])
    if _FORMAL.search(lead):
        return lead if is_unit_word(word[0]) else sentence
    if run := _RUN.search(sentence):
        return run[0]
    reasoned = _REASON.split(sentence)[0]
    return reasoned if phrase(normal(reasoned)) and not _FORMAL.search(sentence[word.end() :]) else ""


def is_bare(text: str) -> bool:
    """Whether the text is nothing but an answer: one line, and no prose."""
    return "\n" not in text and _first_word(text) is None


def _first_word(text: str) -> re.Match[str] | None:
    """The first word of prose."""
    return next((found for found in _PROSE.finditer(text) if found["word"]), None)
