"""Options of the built-in objectives; importable without torch.

`uses_teacher` stands here so that a plan of a run can tell it without building anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from mopd_core.config.base import PluginConfig

if TYPE_CHECKING:
    from mopd_core.config.compose import RunConfig


def _reads_more_than_the_student(run: RunConfig, reader: str) -> str | None:
    """The error of a run that shows its teacher, called `reader`, more than the student's own prompt."""
    if run.selector.name == "none" and not run.context.feedback:
        return None
    shown = "context.feedback" if run.selector.name == "none" else f"selector {run.selector.name!r}"
    return (
        f"{reader} reads the student's own prompt, and {shown} would show it more; "
        "set --selector none and -o context.feedback=false"
    )


class DistillConfig(PluginConfig):
    """The divergence between student and teacher, averaged over the tokens of every target with a context."""

    uses_teacher: ClassVar[bool] = True

    estimator: Literal["full", "sampled"] = "full"
    """`full` uses the whole divergence; `sampled` the reverse KL's estimator at the sampled token alone."""

    importance_clip: float | None = Field(default=None, gt=0)
    """Weigh every token by exp(log p now - log p when sampled), clipped above here; null leaves the weights out."""

    step_separator: str | None = Field(default=None, min_length=1)
    """Give every token of a reasoning step the step's average; a step ends with this text. The whole divergence without
    importance weights is not changed by it: averages within steps, summed over tokens, are the plain sum."""


class OpdConfig(DistillConfig):
    """On-policy distillation without peers: `distill` to another model, or a frozen one, that reads no context."""

    def conflict(self, run: RunConfig) -> str | None:
        """A teacher that follows the student, and sees no more than it, has nothing to teach."""
        if error := _reads_more_than_the_student(run, "its teacher"):
            return error
        if run.teacher.name in ("live", "ema", "trust-region"):
            return (
                f"its teacher is a model of its own, and {run.teacher.name!r} is made from the student; choose "
                "--teacher frozen, with -o teacher.path=MODEL for another model, or --teacher served"
            )
        return None


class GrpoConfig(PluginConfig):
    """Group-relative policy optimisation: no teacher; the verifier's reward, centred and scaled within each group."""

    uses_teacher: ClassVar[bool] = False

    clip: float = Field(default=0.2, gt=0, lt=1)
    """The probability ratio's range is [1 - clip, 1 + clip]; beyond it a token gives no gradient."""

    clip_high: float | None = Field(default=None, gt=0)
    """The range's upper end is 1 + clip_high; 1 + clip when null."""

    scale_by_std: bool = True
    """Divide a group's centred rewards by their standard deviation."""

    length_normalisation: Literal["step", "sequence", "constant"] = "step"
    """What a token's loss is divided by: `step` all tokens of the step; `sequence` its response's tokens, then the
    number of responses; `constant` the number of responses times `constant_tokens`."""

    constant_tokens: int | None = Field(default=None, ge=1)
    """For `constant`: tokens a response, as a rule `rollout.sampling.max_tokens`."""

    @model_validator(mode="after")
    def _constant_goes_with_its_tokens(self) -> GrpoConfig:
        is_constant = self.length_normalisation == "constant"
        if is_constant and self.constant_tokens is None:
            raise ValueError(
                "length_normalisation 'constant' divides by constant_tokens, which is missing; set it, as a rule to "
                "rollout.sampling.max_tokens"
            )
        if not is_constant and self.constant_tokens is not None:
            raise ValueError(
                f"constant_tokens is {self.constant_tokens}, and only length_normalisation 'constant' reads it; "
                f"length_normalisation is {self.length_normalisation!r}"
            )
        return self

    def min_group_size(self) -> int:
        return 2


class WeightedSumConfig(PluginConfig):
    """distill_weight x the distillation loss + grpo_weight x the GRPO loss."""

    uses_teacher: ClassVar[bool] = True

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


class VerifiedSftConfig(PluginConfig):
    """Fine-tuning on verified successes: negative log-likelihood of their tokens, and of nothing else."""

    uses_teacher: ClassVar[bool] = False

    min_reward: float = Field(default=1.0, gt=0, le=1)
    """The reward from which a rollout is learned from; it has to be `rollout.success_threshold`."""

    per_group: bool = False
    """Every success weighs one over the number of its group's successes: what drawing one a group is on average."""

    def conflict(self, run: RunConfig) -> str | None:
        """Successes are the same ones for every part of a run."""
        if self.min_reward == run.rollout.success_threshold:
            return None
        return (
            f"min_reward is {self.min_reward:g}, and rollout.success_threshold is {run.rollout.success_threshold:g}; "
            "set both to the reward from which a rollout is a success"
        )


class DpoConfig(PluginConfig):
    """Direct preference optimisation on pairs inside each group; the teacher, without a context, is the reference."""

    uses_teacher: ClassVar[bool] = True

    beta: float = Field(default=0.1, gt=0)
    """Scale of the margin: how far the student is held to the reference."""

    def min_group_size(self) -> int:
        return 2

    def conflict(self, run: RunConfig) -> str | None:
        """The reference has to read what the student reads, and to be another model than the student."""
        if error := _reads_more_than_the_student(run, "the reference model"):
            return error
        if run.teacher.name == "live":
            return "the reference is the teacher, and 'live' is the student itself; choose --teacher frozen"
        return None


class SimpoConfig(PluginConfig):
    """Preference optimisation without a reference on pairs inside each group, by mean log-probability a token."""

    uses_teacher: ClassVar[bool] = False

    beta: float = Field(default=2.0, gt=0)
    """Scale of the difference of mean log-probabilities."""

    gamma: float = Field(default=1.0, ge=0)
    """The margin that the scaled difference should exceed."""

    def min_group_size(self) -> int:
        return 2
