"""The options of the verifier `combine`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mopd_core.config.base import ConfigModel, PluginChoice, PluginConfig
from mopd_core.config.choices import ChoiceOf


class PartConfig(ConfigModel):
    """One of the verifiers that `combine` holds."""

    verifier: Annotated[PluginChoice, ChoiceOf("verifiers")]
    """What judges: a verifier's name, or a mapping with its name and options."""

    weight: float | None = Field(default=None, ge=0, le=1_000_000)
    """With `weighted-sum`: how much it counts, beside the other weights; 1 when null. With 0 it gives feedback only."""

    reference: str | None = None
    """Key of what it is given of a reference that is a JSON object; it gets the whole reference when null."""


class CombineConfig(PluginConfig):
    """Several verifiers as one: all of them, any of them, or a weighted sum; for gates, bonuses and penalties.

    `all`: the least reward; passed where all parts passed, failed where one failed, else unknown. `any`: the largest
    reward; passed where a part passed, else unknown where one is unknown, else failed. `weighted-sum`: the mean of the
    rewards by weight; passed from `pass_at` on, else failed; unknown where a part that has a weight is. A penalty is a
    part of a weighted sum, such as `length`.

    Parts are asked in order, and with `all` and `any` only about responses of which the reward is still open (above 0
    with `all`, below a pass with 1 with `any`): put what costs much last. Feedback names the part that it is from.

    Rows of data can name this verifier as any other: choose it as `verifier`, or list it in `routed_verifiers`.
    """

    rule: Literal["all", "any", "weighted-sum"]
    """How verdicts become one."""

    parts: tuple[PartConfig, ...] = Field(min_length=1, max_length=16)
    """The verifiers in the order in which they are asked, such as
    [{verifier: math, weight: 0.8}, {verifier: {name: format, tags: [think]}, weight: 0.2}]."""

    pass_at: float | None = Field(default=None, gt=0, le=1)
    """With `weighted-sum`: the reward from which a response has passed; 1 when null."""

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        weights = [part.weight for part in self.parts]
        if self.rule != "weighted-sum":
            given = "pass_at" if self.pass_at is not None else "a weight"
            if self.pass_at is not None or any(weight is not None for weight in weights):
                raise ValueError(f"{given} is given, but the rule is {self.rule!r}; only 'weighted-sum' reads it")
        elif not any(weight is None or weight > 0 for weight in weights):
            raise ValueError("every weight is 0, so that no part would count; give at least one a weight above 0")
        return self
