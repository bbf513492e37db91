"""Words a grade for the teacher, within a budget: which test failed and how, then what it was, where that may be shown.

Texts that do not fit lose their middle; the shorter ones stay whole as long as they can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mopd_core.verification.feedback import cut_middle
from mopd_verifiers.code.grade import Failure, Grade

Show = Literal["all", "public", "none"]

NO_PROGRAM = "The response holds no program. It belongs in a fenced block that begins with ```python."
NOT_FENCED = "The response has no fenced block, so all of it was read as the program. Put it in a ```python block."
_MIN_SHARE = 60


def worded(grade: Grade, show: Show, budget: int) -> str:
    """Feedback of at most `budget` characters on a grade with a failure."""
    failure = grade.failure or Failure("not all tests were run")
    may_show = failure.test is None or show == "all" or (show == "public" and failure.public)
    head = [_headline(grade, failure)]
    if failure.trace:
        head.append("In the program:\n" + "\n".join(failure.trace))
    if failure.told and not may_show:
        head.append("What the test holds is not shown.")
    told = failure.told if may_show else ()
    return cut(_joined(head, told, budget), budget)


def _headline(grade: Grade, failure: Failure) -> str:
    if failure.test is None:
        return f"No test passed: {failure.what}."
    if grade.total == 1:
        return f"The test failed: {failure.what}."
    if grade.stopped:
        before = f" The {grade.passed} before it passed." if grade.passed else ""
        return f"Test {failure.test} of {grade.total} failed: {failure.what}.{before}"
    return f"{grade.passed} of {grade.total} tests passed. Test {failure.test} failed: {failure.what}."


def _joined(head: list[str], told: Sequence[tuple[str, str]], budget: int) -> str:
    start = cut("\n".join(head), budget // 2 if told else budget)
    room = budget - len(start) - sum(len(label) + 3 for label, _ in told)
    shares = _shares([len(text) for _, text in told], room)
    parts = [f"{label}:\n{cut(text, share)}" for (label, text), share in zip(told, shares, strict=True)]
    return "\n".join([start, *parts])


def _shares(lengths: list[int], room: int) -> list[int]:
    """How much of each text fits into `room`: an even share, and what shorter texts leave over."""
    shares = [0] * len(lengths)
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for done, index in enumerate(order):
        shares[index] = min(lengths[index], max(_MIN_SHARE, room // (len(order) - done)))
        room -= shares[index]
    return shares


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and end with a line between them that says so, in at most `limit` characters."""
    return cut_middle(text, limit, "\n[...]\n")
