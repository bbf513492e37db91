"""Feedback of several parts as one text: each names its part, and has its share of the length."""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.types import Verdict
from mopd_core.verification.router import CUT_MARK, LONGEST_FEEDBACK


def join_feedback(judged: Sequence[tuple[str, Verdict]], longest: int = LONGEST_FEEDBACK) -> str | None:
    """A paragraph a part that has something to say; `longest` characters at most. None where none has.

    judged: the parts' names and verdicts. Where all together are too long, each long one loses its middle.
    """
    texts = [f"{name}: {verdict.feedback}" for name, verdict in judged if verdict.feedback]
    share = longest // max(1, len(texts)) - len("\n")
    if len("\n".join(texts)) > longest:
        texts = [_cut(text, share) for text in texts]
    return "\n".join(texts) or None


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    kept = longest - len(CUT_MARK)
    head = kept // 2
    return text[:head] + CUT_MARK + text[head - kept :]
