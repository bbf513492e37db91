"""The options of the verifier `math`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mopd_core.config.base import PluginConfig


class MathConfig(PluginConfig):
    """Final answers against a gold number or expression, with math-verify, in worker processes.

    A prompt's reference is the gold answer: a number, or a string such as `1,080`, `\\frac{1}{2}`, `(2, 3]`, `50%` or
    `no change`; or a list of such alternatives, any of which is right; or `{"answer": ..., "alternatives": [...]}`. The
    final answer is the last closed box, together with boxes that only a comma, `and` or `or` joins to it; without a
    box, what follows the last `####`, `Answer:` or `answer is` that states an answer, which "I hope the answer is
    clear" does not; without those, the last expression. Thinking is not looked at. Several
    answers are a list, which equals only a gold with just these parts; and work left undone (`12 \\cdot 34`) is wrong.
    """

    result_neutral: ClassVar[frozenset[str]] = frozenset({"workers"})

    timeout_s: float = Field(default=5.0, gt=0)
    """Longest wall time for one response, in seconds; one that takes longer has failed, unless its gold alone does."""

    workers: int | None = Field(default=None, ge=1)
    """Worker processes; by default one a CPU, four at most. Each takes about 60 MB."""

    memory_mb: int = Field(default=1024, ge=256)
    """Address space of a worker, in MiB; a response whose answer needs more has failed."""
