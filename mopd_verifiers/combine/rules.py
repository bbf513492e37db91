"""How the verdicts of parts become one: a rule is a class with two methods, and its line in `rule_of`.

Every rule keeps what holds for any verdict: passed is above 0, failed below 1, unknown is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mopd_core.types import Status, Verdict
from mopd_verifiers.combine.config import CombineConfig

_RELATIVE_TOLERANCE = 1e-9
"""Of `pass_at`: weights such as 0.7, 0.2 and 0.1 have no exact binary form, and neither has their sum."""


class Rule(Protocol):
    """Turns the verdicts of the parts of one response, in the order of the parts, into a reward and a status."""

    def is_settled_by(self, verdict: Verdict) -> bool:
        """Whether no part after the one that gave this verdict can change reward or status."""
        ...

    def judge(self, verdicts: Sequence[Verdict]) -> tuple[float, Status]:
        """Reward and status; of the parts up to the one that settled it, if one did."""
        ...


class AllOf:
    """The least reward of the parts that know theirs; one failure is one, whatever others do not know."""

    def is_settled_by(self, verdict: Verdict) -> bool:
        return verdict.status == "failed" and verdict.reward == 0.0

    def judge(self, verdicts: Sequence[Verdict]) -> tuple[float, Status]:
        known = _known(verdicts)
        if any(verdict.status == "failed" for verdict in known):
            return min(verdict.reward for verdict in known), "failed"
        if len(known) < len(verdicts):
            return 0.0, "unknown"
        return min(verdict.reward for verdict in known), "passed"


class AnyOf:
    """The largest reward of the parts that know theirs; one pass is one, whatever others do not know."""

    def is_settled_by(self, verdict: Verdict) -> bool:
        return verdict.status == "passed" and verdict.reward == 1.0

    def judge(self, verdicts: Sequence[Verdict]) -> tuple[float, Status]:
        known = _known(verdicts)
        if any(verdict.status == "passed" for verdict in known):
            return max(verdict.reward for verdict in known), "passed"
        if len(known) < len(verdicts):
            return 0.0, "unknown"
        return max(verdict.reward for verdict in known), "failed"


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """The mean of the rewards by weight; unknown where a part that has a weight is. Every part is asked.

    weights: one a part, not all 0. pass_at: the reward from which a response has passed, in (0, 1].
    """

    weights: tuple[float, ...]
    pass_at: float

    def is_settled_by(self, verdict: Verdict) -> bool:
        return False

    def judge(self, verdicts: Sequence[Verdict]) -> tuple[float, Status]:
        weighed = list(zip(self.weights, verdicts, strict=True))
        if any(weight > 0 and verdict.status == "unknown" for weight, verdict in weighed):
            return 0.0, "unknown"
        reward = math.fsum(weight * verdict.reward for weight, verdict in weighed) / math.fsum(self.weights)
        passed = reward >= self.pass_at or math.isclose(reward, self.pass_at, rel_tol=_RELATIVE_TOLERANCE)
        return reward, "passed" if passed else "failed"


def rule_of(config: CombineConfig) -> Rule:
    """The rule that a config asks for."""
    match config.rule:
        case "all":
            return AllOf()
        case "any":
            return AnyOf()
        case "weighted-sum":
            weights = tuple(1.0 if part.weight is None else part.weight for part in config.parts)
            return WeightedSum(weights, config.pass_at or 1.0)


def _known(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.status != "unknown"]
