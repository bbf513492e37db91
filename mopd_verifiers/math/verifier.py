"""The verifier `math`: judges final answers in worker processes, and words what they find.

Reward 1 for a final answer that equals the gold, else 0. An answer that hangs, exhausts the worker's memory or brings
it down has failed; *unknown* is left for what is not the response's doing. Feedback never holds the gold.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from decimal import Decimal

from mopd_core.contexts import RunContext
from mopd_core.errors import DataError, VerifierError
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.math.config import MathConfig
from mopd_verifiers.workers.pool import Crashed, Expired, Lost, Outcome, PoolClosedError, Reply, WorkerPool, WorkerSpec

_MOST_WORKERS = 4
_MAX_GOLD_SHOWN_CHARS = 200
_WORDING = {
    "different": "The final answer was {answer}, which is not right.",
    "unreadable": "The final answer was {answer}, which cannot be read as mathematics.",
    "none": "No final answer was found; it belongs in \\boxed{}.",
    "memory": "The final answer was {answer}, which takes too much memory to evaluate.",
}
_TOO_SLOW = "The final answer takes too long to evaluate."
_TOO_DEEP = "The final answer cannot be evaluated."


class MathVerifier:
    """Judges final answers with math-verify. Any number of threads may call it; workers start with the first call."""

    def __init__(self, config: MathConfig) -> None:
        self._timeout_s = config.timeout_s
        workers = config.workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        self._pool = WorkerPool(WorkerSpec("mopd_verifiers.math.worker", config.memory_mb), workers)

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that is no number or expression."""
        jobs = [(item.response, gold_text(item)) for item in items]
        try:
            outcomes = self._pool.run(jobs, self._timeout_s)
        except PoolClosedError as error:
            raise VerifierError("this math verifier was closed; build a new one") from error
        return [_verdict(item, outcome) for item, outcome in zip(items, outcomes, strict=True)]

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Parse the references. Raises `DataError` for the first that is no number or expression."""
        self.verify(items)

    def close(self) -> None:
        """End the workers. Calling it twice is fine."""
        self._pool.close()


def build(config: MathConfig, context: RunContext) -> MathVerifier:
    """The factory that the plugin registers."""
    return MathVerifier(config)


def gold_text(item: VerifyItem) -> str:
    """The reference as text: a number without an exponent, a string as it is."""
    gold = item.reference
    if isinstance(gold, str):
        return gold
    if isinstance(gold, int | float) and not isinstance(gold, bool) and math.isfinite(gold):
        return format(Decimal(repr(gold)), "f")
    raise _bad_gold(item)


def _bad_gold(item: VerifyItem) -> DataError:
    shown = repr(item.reference)[:_MAX_GOLD_SHOWN_CHARS]
    return DataError(
        f"prompt {item.prompt_id!r}: the verifier `math` cannot read its reference {shown}; "
        "it has to be a number, or one mathematical expression as text (LaTeX or plain). "
        "Repair the row or its column mapping"
    )


def _verdict(item: VerifyItem, outcome: Outcome) -> Verdict:
    match outcome:
        case Reply(value=["equal", _]):
            return Verdict(1.0, "passed")
        case Reply(value=["bad gold", _]):
            raise _bad_gold(item)
        case Reply(value=[finding, answer]):
            return Verdict(0.0, "failed", _WORDING[finding].replace("{answer}", answer))
        case Expired():
            return Verdict(0.0, "failed", _TOO_SLOW)
        case Crashed():
            return Verdict(0.0, "failed", _TOO_DEEP)
        case Lost(reason=reason):
            return Verdict(0.0, "unknown", f"Not judged: {reason}.")
    raise VerifierError(f"the worker of the verifier `math` answered {outcome!r}, which has no meaning")
