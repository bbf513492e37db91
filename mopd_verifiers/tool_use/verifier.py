"""The verifier `tool-use`: compares the calls that a response makes with the gold's, and words what differs.

Reward 1 for exactly the gold's calls; else 0, or the share of right ones; never *unknown*. Feedback names tools and
arguments, and none of the gold's values.
"""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.contexts import RunContext
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.tool_use import feedback
from mopd_verifiers.tool_use.calls import Call
from mopd_verifiers.tool_use.compare import compare
from mopd_verifiers.tool_use.config import ToolUseConfig
from mopd_verifiers.tool_use.references import read_gold
from mopd_verifiers.tool_use.responses import calls_of, said
from mopd_verifiers.tool_use.strict_json import UnreadableError


class ToolUseVerifier:
    """Judges tool calls, in the calling thread; any number of threads may call it. Nothing is executed."""

    def __init__(self, config: ToolUseConfig) -> None:
        self._in_order = config.order == "exact"
        self._in_part = config.reward == "fraction"

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that is no list of calls."""
        return [self._verify(read_gold(item), said(item.response)) for item in items]

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Read the references. Raises `DataError` for the first that cannot be used."""
        for item in items:
            read_gold(item)

    def _verify(self, gold: list[Call], text: str) -> Verdict:
        if not text:
            return Verdict(0.0, "failed", feedback.NOTHING_SAID)
        try:
            given = calls_of(text)
        except UnreadableError as error:
            return Verdict(0.0, "failed", feedback.unreadable(str(error)))
        if gold and not given:
            return Verdict(0.0, "failed", feedback.NO_CALL)
        comparison = compare(gold, given, in_order=self._in_order)
        if comparison.score == 1.0:
            return Verdict(1.0, "passed")
        return Verdict(comparison.score if self._in_part else 0.0, "failed", feedback.describe(comparison))


def build(config: ToolUseConfig, context: RunContext) -> ToolUseVerifier:
    """The factory that the plugin registers."""
    return ToolUseVerifier(config)
