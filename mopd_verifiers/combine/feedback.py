"""Feedback of several parts as one text: each names its part, and has its share of the length."""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.types import Verdict
from mopd_core.verification.feedback import LONGEST_FEEDBACK, cut_middle


def join_feedback(judged: Sequence[tuple[str, Verdict]], longest: int = LONGEST_FEEDBACK) -> str | None:
    """A paragraph a part that has something to say; `longest` characters at most. None where none has.

    judged: the parts' names and verdicts. Where all together are too long, each long one loses its middle.
    """
    texts = [f"{name}: {verdict.feedback}" for name, verdict in judged if verdict.feedback]
    share = longest // max(1, len(texts)) - len("\n")
    if len("\n".join(texts)) > longest:
        texts = [cut_middle(text, share) for text in texts]
    return "\n".join(texts) or None
