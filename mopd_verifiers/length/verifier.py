"""The verifier `length`: characters counted, and the reward that is left of them.

A response that has failed is blank, as long as `max_chars` or longer, or cut off where that is asked for. Any other has
passed, with a reward above 0: what a limit makes of the reward between is the business of whoever combines it.
"""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.contexts import RunContext
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.length.config import LengthConfig

_BLANK = Verdict(0.0, "failed", "The response is empty.")
_TRUNCATED = Verdict(0.0, "failed", "The response was cut off at the limit of tokens before it ended.")


class LengthVerifier:
    """Judges how long responses are. Any number of threads may call it."""

    def __init__(self, config: LengthConfig) -> None:
        self._config = config

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order."""
        return [self._verdict(item) for item in items]

    def _verdict(self, item: VerifyItem) -> Verdict:
        config, chars = self._config, len(item.response)
        if not item.response.strip():
            return _BLANK
        if config.fail_truncated and item.finish_reason == "length":
            return _TRUNCATED
        if chars <= config.soft_chars:
            return Verdict(1.0, "passed")
        if chars >= config.max_chars:
            return Verdict(0.0, "failed", f"The response has {chars:,} characters, too many: {self._terms()}.")
        reward = (config.max_chars - chars) / (config.max_chars - config.soft_chars)
        return Verdict(
            reward, "passed", f"The response has {chars:,} characters, more than it should: {self._terms()}."
        )

    def _terms(self) -> str:
        soft, most = self._config.soft_chars, self._config.max_chars
        return f"up to {soft:,} cost nothing" + (f", {most:,} or more are worth nothing" if most > soft else "")


def build(config: LengthConfig, context: RunContext) -> LengthVerifier:
    """The factory that the plugin registers."""
    return LengthVerifier(config)
