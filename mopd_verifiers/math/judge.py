"""Judges one response against one gold answer. Runs inside a worker: it may take for ever or use up the memory there.

math-verify's own time limits use signals and are switched off. Only the final answer's text reaches it, cut short,
because its patterns take quadratic time and more on long text.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from mopd_verifiers.math.answers import MAX_ANSWER_CHARS, FinalAnswer, find_answer, last_box
from mopd_verifiers.math.plain import decimal_text, plain_number, plain_words, same_number, without_exponents

logging.getLogger("math_verify").setLevel(logging.ERROR)

_BOX = [LatexExtractionConfig(boxed_match_priority=0)]
_ANY = [LatexExtractionConfig(), ExprExtractionConfig()]
_ANSWER = re.compile("answer", re.IGNORECASE)
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_SYMBOLS = str.maketrans(
    {"π": r"\pi ", "−": "-", "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "∞": r"\infty ", "°": ""}
)

Finding = Literal["equal", "different", "unreadable", "none", "memory", "bad gold"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found, and the final answer's text where there is one."""

    finding: Finding
    answer: str = ""


def judge(response: str, gold: str) -> Judgement:
    """Judge one response. Raises nothing, whatever the response; only time and memory are not its own."""
    if plain_number(gold) is None and _read_gold(gold) is None:
        return Judgement("bad gold")
    found = find_answer(response)
    if found is None or not found.text:
        return Judgement("none")
    try:
        return _compare(gold, found)
    except MemoryError:
        return Judgement("memory", found.text)
    except Exception:  # The boundary: computer algebra on hostile text raises anything; that answer cannot be read.
        return Judgement("unreadable", found.text)


def _compare(gold: str, found: FinalAnswer) -> Judgement:
    text = found.text
    same = None if found.kind == "tail" else _compare_plain(gold, text)
    if same is None:
        expression, text = _read_answer(found)
        if expression is None:
            return Judgement("none" if found.kind == "tail" else "unreadable", text)
        if found.kind == "tail" and getattr(expression, "is_Number", False):
            same = _compare_plain(gold, text)
        if same is None:
            same = verify(_read_gold(gold), expression, timeout_seconds=None, raise_on_error=True)
    return Judgement("equal" if same else "different", text)


def _compare_plain(gold: str, answer: str) -> bool | None:
    """Equal or not where both are plain numbers or both plain words; None where computer algebra has to say."""
    numbers = plain_number(gold), plain_number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return same_number(numbers[0], numbers[1])
    words = plain_words(gold), plain_words(answer)
    if words[0] is not None and words[1] is not None:
        return words[0] == words[1]
    return None


def _read_answer(found: FinalAnswer) -> tuple[Any, str]:
    """The answer's expression (None where it cannot be read) and the text that it was read from.

    math-verify prefers what comes near the word "answer", even in "answering": so the word is put before a marked
    answer, and taken out of a tail, where the last expression shall count.
    """
    if found.kind == "boxed" or (found.kind == "marked" and not _PROSE.search(found.text)):
        return _read_latex(found.text), found.text
    text = f"Answer: {found.text}" if found.kind == "marked" else _ANSWER.sub("result", found.text)
    parts = parse(_normal(text), _ANY, parsing_timeout=None, raise_on_error=True)
    source = next((part for part in parts if isinstance(part, str)), found.text)
    return _expression(parts), source


def _read_latex(text: str) -> Any:
    if len(text) > MAX_ANSWER_CHARS:
        return None
    boxed = f"\\boxed{{{_normal(text)}}}"
    return _expression(parse(boxed, _BOX, parsing_timeout=None, raise_on_error=True))


def _normal(text: str) -> str:
    return without_exponents(text).translate(_SYMBOLS)


def _expression(parts: list[Any]) -> Any:
    """Of an expression and the text that it came from, as math-verify returns them, the expression."""
    return next((part for part in parts if not isinstance(part, str)), None)


@lru_cache(maxsize=4096)
def _read_gold(gold: str) -> Any:
    """The gold's expression, None where it cannot be read. A box around it is taken off."""
    boxed = last_box(gold)
    number = plain_number(gold)
    text = decimal_text(number) if number is not None else (gold if boxed is None else boxed)
    try:
        return _read_latex(text.strip())
    except Exception:  # The same boundary.
        return None
