"""The verifier `format`: tags are read here, the pattern is looked for in worker processes.

A pattern that takes exponential time on some response would hold up everything in this process, and nothing can stop it
there; in a worker it ends with its limit, and the response has failed. A blank response always has.
"""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.contexts import RunContext
from mopd_core.errors import VerifierError
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.response_format.config import FormatConfig
from mopd_verifiers.response_format.tags import tag_problem
from mopd_verifiers.workers.pool import Crashed, Expired, Lost, Outcome, PoolClosedError, Reply, WorkerPool, WorkerSpec

_WORKER_MEMORY_MB = 512
_MAX_PATTERN_SHOWN_CHARS = 500
_PASSED = Verdict(1.0, "passed")


class FormatVerifier:
    """Judges the form of responses. Any number of threads may call it; workers start with the first pattern."""

    def __init__(self, config: FormatConfig) -> None:
        self._config = config
        self._pool = WorkerPool(WorkerSpec("mopd_verifiers.response_format.worker", _WORKER_MEMORY_MB), config.workers)

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order."""
        problems = [self._problem(item.response) for item in items]
        verdicts = [_PASSED if problem is None else Verdict(0.0, "failed", problem) for problem in problems]
        if self._config.pattern is None:
            return verdicts
        left = [index for index, problem in enumerate(problems) if problem is None]
        for index, outcome in zip(left, self._search([items[index].response for index in left]), strict=True):
            verdicts[index] = self._verdict(outcome)
        return verdicts

    def close(self) -> None:
        """End the workers. Calling it twice is fine."""
        self._pool.close()

    def _problem(self, response: str) -> str | None:
        if not response.strip():
            return "The response is empty."
        return tag_problem(response, self._config.tags)

    def _search(self, responses: Sequence[str]) -> list[Outcome]:
        try:
            return self._pool.run([(self._config.pattern, response) for response in responses], self._config.timeout_s)
        except PoolClosedError as error:
            raise VerifierError("this format verifier was closed; build a new one") from error

    def _verdict(self, outcome: Outcome) -> Verdict:
        match outcome:
            case Reply(value=True):
                return _PASSED
            case Reply(value=False):
                shown = (self._config.pattern or "")[:_MAX_PATTERN_SHOWN_CHARS]
                return Verdict(
                    0.0, "failed", f"The response does not have the form that this pattern describes: {shown}"
                )
            case Lost(reason=reason):
                return Verdict(0.0, "unknown", f"Not judged: {reason}.")
            case Reply() | Expired() | Crashed():
                return Verdict(0.0, "failed", "The response is too involved for its form to be recognised.")


def build(config: FormatConfig, context: RunContext) -> FormatVerifier:
    """The factory that the plugin registers."""
    return FormatVerifier(config)
