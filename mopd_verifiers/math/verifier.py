"""The verifier `math`: judges final answers in worker processes, and words what they find.

Reward 1 for a final answer that equals a gold, else 0. An answer that hangs, exhausts the worker's memory or brings it
down has failed, unless its gold does that on its own: that is a bad reference. *unknown* is left for what is not the
response's doing. Feedback never holds the gold.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

from mopd_core.contexts import RunContext
from mopd_core.errors import VerifierError
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.math.config import MathConfig
from mopd_verifiers.math.reference import bad_reference, golds_of
from mopd_verifiers.workers.pool import Crashed, Expired, Lost, Outcome, PoolClosedError, Reply, WorkerPool, WorkerSpec

_MOST_WORKERS = 4
_WORDING = {
    "different": "The final answer was {answer}, which is not right.",
    "unreadable": "The final answer was {answer}, which cannot be read as mathematics.",
    "unfinished": "The final answer was {answer}, which is not worked out.",
    "none": "No final answer was found; it belongs in \\boxed{}.",
    "memory": "The final answer was {answer}, which takes too much memory to evaluate.",
}
_TOO_SLOW = "The final answer takes too long to evaluate."
_TOO_DEEP = "The final answer cannot be evaluated."

_Job: TypeAlias = tuple[str | None, tuple[str, ...]]


class MathVerifier:
    """Judges final answers with math-verify. Any number of threads may call it; workers start with the first call."""

    def __init__(self, config: MathConfig) -> None:
        self._timeout_s = config.timeout_s
        workers = config.workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        self._pool = WorkerPool(WorkerSpec("mopd_verifiers.math.worker", config.memory_mb), workers)

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that no response can be judged against."""
        outcomes = self._run([(item.response, golds_of(item)) for item in items])
        self.check([item for item, outcome in zip(items, outcomes, strict=True) if _may_be_the_golds(outcome)])
        return [_verdict(item, outcome) for item, outcome in zip(items, outcomes, strict=True)]

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Read and try out the references. Raises `DataError` for the first that cannot be used."""
        users: dict[tuple[str, ...], VerifyItem] = {}
        for item in items:
            users.setdefault(golds_of(item), item)
        for item, outcome in zip(users.values(), self._run([(None, golds) for golds in users]), strict=True):
            if isinstance(outcome, Expired | Crashed):
                raise bad_reference(item, f"takes more than {self._timeout_s:g} s or the whole stack to evaluate")
            if isinstance(outcome, Reply) and outcome.value[0] == "bad gold":
                raise bad_reference(item)

    def close(self) -> None:
        """End the workers. Calling it twice is fine."""
        self._pool.close()

    def _run(self, jobs: Sequence[_Job]) -> list[Outcome]:
        try:
            return self._pool.run(jobs, self._timeout_s)
        except PoolClosedError as error:
            raise VerifierError("this math verifier was closed; build a new one") from error


def build(config: MathConfig, context: RunContext) -> MathVerifier:
    """The factory that the plugin registers."""
    return MathVerifier(config)


def _may_be_the_golds(outcome: Outcome) -> bool:
    """Whether the gold may be to blame: it hangs, crashes or fills the memory together with this response."""
    return isinstance(outcome, Expired | Crashed) or (isinstance(outcome, Reply) and outcome.value[0] == "memory")


def _verdict(item: VerifyItem, outcome: Outcome) -> Verdict:
    match outcome:
        case Reply(value=["equal", _]):
            return Verdict(1.0, "passed")
        case Reply(value=["bad gold", _]):
            raise bad_reference(item)
        case Reply(value=[finding, answer]):
            return Verdict(0.0, "failed", _WORDING[finding].replace("{answer}", answer))
        case Expired():
            return Verdict(0.0, "failed", _TOO_SLOW)
        case Crashed():
            return Verdict(0.0, "failed", _TOO_DEEP)
        case Lost(reason=reason):
            return Verdict(0.0, "unknown", f"Not judged: {reason}.")
    raise VerifierError(f"the worker of the verifier `math` answered {outcome!r}, which has no meaning")
