"""Judges one response against its golds. Runs inside a worker: it may take for ever or use up the memory there.

Finding the answer does not look at the golds, so one response has one answer however many golds there are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from mopd_verifiers.math import algebra
from mopd_verifiers.math.answers import FinalAnswer, find_answer, last_box
from mopd_verifiers.math.compare import UnfinishedError, equal, readable
from mopd_verifiers.math.numbers import read_number
from mopd_verifiers.math.prose import is_bare, statement
from mopd_verifiers.math.spelling import normal
from mopd_verifiers.math.words import phrase

_ANSWER = re.compile("answer", re.IGNORECASE)

Finding = Literal["equal", "different", "unreadable", "unfinished", "none", "memory", "bad gold"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found, and the final answer's text where there is one."""

    finding: Finding
    answer: str = ""


def judge(response: str, golds: Sequence[str]) -> Judgement:
    """Judge one response: right where it equals any gold. Raises nothing, whatever the response."""
    wanted = [_gold(gold) for gold in golds]
    if None in wanted:
        return Judgement("bad gold")
    found = find_answer(response)
    if found is None or not found.text:
        return Judgement("none")
    return _compared([gold for gold in wanted if gold], found)


def check_gold(gold: str) -> Judgement:
    """Read a gold and have it evaluated: what hangs or breaks here does so whatever the response."""
    text = _gold(gold)
    try:
        if text is not None and not read_number(text) and (expression := algebra.read_gold(text)) is not None:
            algebra.try_out(expression)
    except Exception:  # The same boundary as below.
        return Judgement("bad gold")
    return Judgement("none" if text else "bad gold")


def _compared(golds: Sequence[str], found: FinalAnswer) -> Judgement:
    try:
        stated = _stated(golds, found)
        return _verdict(golds, stated) if stated else _search(golds, found)
    except MemoryError:
        return Judgement("memory", found.text)
    except UnfinishedError:
        return Judgement("unfinished", found.text)
    except Exception:  # The boundary: computer algebra on hostile text raises anything; that answer cannot be read.
        return Judgement("unreadable", found.text)


def _stated(golds: Sequence[str], found: FinalAnswer) -> str:
    """The answer's own text, where it can be told from what is around it; else empty."""
    if found.kind == "boxed":
        return found.text
    if found.kind == "marked":
        return statement(found.text)
    text = found.text.strip()
    words = phrase(normal(text))
    return text if is_bare(text) or (words and words in map(phrase, golds)) else ""


def _verdict(golds: Sequence[str], text: str) -> Judgement:
    answer = normal(text)
    return Judgement("equal" if any(equal(gold, answer) for gold in golds) else "different", text)


def _search(golds: Sequence[str], found: FinalAnswer) -> Judgement:
    """The expression in a sentence, as math-verify finds it: after the word "answer", or the last one.

    It takes "answer" even in "answering": so the word is put before a marked answer, and taken out of a tail.
    """
    text = f"Answer: {found.text}" if found.kind == "marked" else _ANSWER.sub("result", found.text)
    expression, source = algebra.read_prose(text)
    if expression is None:
        return Judgement("none" if found.kind == "tail" else "unreadable", found.text)
    if getattr(expression, "is_Number", False) and read_number(normal(source)):
        return _verdict(golds, source)
    same = any(algebra.same(read, expression) for gold in golds if (read := algebra.read_gold(gold)) is not None)
    return Judgement("equal" if same else "different", source)


@lru_cache(maxsize=4096)
def _gold(gold: str) -> str | None:
    """The gold in normal spelling, without a box around it; None where it cannot be read."""
    boxed = last_box(gold)
    text = normal(gold if boxed is None else boxed)
    if not text or len(text) > algebra.MAX_CHARS:
        return None
    try:
        return text if readable(text) else None
    except Exception:  # The same boundary again.
        return None
