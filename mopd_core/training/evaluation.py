"""Held-out accuracy: mean@k and pass@k, with the same seeds every time, so that only the weights make a difference.

mean@k is the mean over prompts of the share of k samples that succeed, pass@k the share of prompts with any success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mopd_core.interfaces import Generator
from mopd_core.seeds import derive_seed
from mopd_core.training.rollouts import generate
from mopd_core.types import Prompt, RolloutGroup, Sampling
from mopd_core.verification.groups import verify_groups
from mopd_core.verification.router import VerifierRouter


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result over `prompts` prompts with `samples` samples each; samples that could not be judged are left out."""

    mean: float
    passed: float
    samples: int
    prompts: int
    unknown: int
    tokens: int

    def scores(self) -> dict[str, float]:
        """{"mean@k": …, "pass@k": …} in [0, 1]; empty where there was no prompt to judge."""
        if not self.prompts:
            return {}
        return {f"mean@{self.samples}": self.mean, f"pass@{self.samples}": self.passed}


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Samples and judges; everything but the weights is fixed."""

    generator: Generator
    generator_name: str
    router: VerifierRouter
    sampling: Sampling
    samples: int
    threshold: float
    seed: int

    def __call__(self, prompts: Sequence[Prompt]) -> Evaluation:
        seeds = [
            [derive_seed(self.seed, 0, prompt.id, f"evaluate {sample}") for sample in range(self.samples)]
            for prompt in prompts
        ]
        rollouts = generate(self.generator, self.generator_name, prompts, self.sampling, seeds)
        groups = verify_groups(self.router, prompts, rollouts, self.threshold)
        judged = [group for group in groups if group.known]
        tokens = sum(len(rollout.token_ids) for group in groups for rollout in group.rollouts)
        return Evaluation(
            mean=_mean([len(group.successes) / len(group.known) for group in judged]),
            passed=_mean([float(bool(group.successes)) for group in judged]),
            samples=self.samples,
            prompts=len(judged),
            unknown=sum(_unknown(group) for group in groups),
            tokens=tokens,
        )


def _unknown(group: RolloutGroup) -> int:
    return len(group) - len(group.known)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
