"""Options of the built-in objectives; importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mopd_core.config.base import PluginConfig


class DistillConfig(PluginConfig):
    """The divergence between student and teacher, averaged over the tokens of every target with a context."""

    estimator: Literal["full", "sampled"] = "full"
    """`full` uses the whole divergence; `sampled` the reverse KL's estimator at the sampled token alone."""

    importance_clip: float | None = Field(default=None, gt=0)
    """Weigh every token by exp(log p now - log p when sampled), clipped above here; null leaves the weights out."""

    step_separator: str | None = Field(default=None, min_length=1)
    """Give every token of a reasoning step the step's average; a step ends with this text. The whole divergence without
    importance weights is not changed by it: averages within steps, summed over tokens, are the plain sum."""


class GrpoConfig(PluginConfig):
    """Group-relative policy optimisation: no teacher; the verifier's reward, centred and scaled within each group."""

    clip: float = Field(default=0.2, gt=0, lt=1)
    """The probability ratio's range is [1 - clip, 1 + clip]; beyond it a token gives no gradient."""

    scale_by_std: bool = True
    """Divide a group's centred rewards by their standard deviation."""

    def min_group_size(self) -> int:
        return 2


class WeightedSumConfig(PluginConfig):
    """distill_weight x the distillation loss + grpo_weight x the GRPO loss."""

    distill_weight: float = Field(default=1.0, gt=0)
    """Factor of the distillation loss."""

    grpo_weight: float = Field(default=1.0, gt=0)
    """Factor of the GRPO loss."""

    distill: DistillConfig = DistillConfig()
    """Options of the distillation loss."""

    grpo: GrpoConfig = GrpoConfig()
    """Options of the GRPO loss."""

    def min_group_size(self) -> int:
        return 2
