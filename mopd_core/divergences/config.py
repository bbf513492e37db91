"""Options of the divergences, importable without torch. A new formula's options get a class here.

`DivergenceConfig` is the base for third parties too: its fields say which outcomes a divergence is evaluated on, and
the core (`outcomes`) honours them for every formula. p is the student's distribution, q the teacher's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mopd_core.config.base import PluginConfig

Remainder = Literal["tail", "renormalise"]
Side = Literal["student", "teacher"]
Direction = Literal["forward", "reverse"]

NEAREST_ORDER_TO_1 = 1e-3


class DivergenceConfig(PluginConfig):
    """Options that every divergence has: over which outcomes it is evaluated."""

    top_k: int | None = Field(default=None, ge=1)
    """Evaluate on the k most likely tokens and what `remainder` makes of the rest; null takes the whole vocabulary.
    A k of at least the vocabulary's size is the whole vocabulary."""

    remainder: Remainder = "tail"
    """With `top_k`: `tail` keeps the mass of all other tokens as one more outcome, which never gives more than the
    whole vocabulary would; `renormalise` scales each side's k probabilities to sum to 1 and forgets the rest."""

    support: Side = "student"
    """With `top_k`: whose k most likely tokens are taken."""

    temperature: float = Field(default=1.0, gt=0)
    """Divides both sides' logits before the softmax; above 1 flattens both distributions."""

    @model_validator(mode="after")
    def _outcomes_can_differ(self) -> DivergenceConfig:
        if self.top_k == 1 and self.remainder == "renormalise":
            raise ValueError(
                "top_k is 1 and remainder is 'renormalise': a single outcome has probability 1 on both sides, so the "
                "divergence would always be 0. Take remainder 'tail' or a larger top_k"
            )
        return self


class ForwardKLConfig(DivergenceConfig):
    """KL(q || p): the student has to cover all that the teacher does."""


class ReverseKLConfig(DivergenceConfig):
    """KL(p || q): the student is kept from what the teacher does not do, however little it covers."""


class JSDConfig(DivergenceConfig):
    """Generalised Jensen-Shannon divergence, bounded by ln 2: the paper's default at weight 0.5.

    With m = (1 - weight) p + weight q it is (1 - weight) KL(p || m) + weight KL(q || m). The family tends to 0 at both
    of its ends: the two KLs are not members of it, but divergences of their own names.
    """

    weight: float = 0.5
    """The teacher's share of the mixture, above 0 and below 1; 0.5 treats both sides alike."""

    @field_validator("weight")
    @classmethod
    def _inside(cls, value: float) -> float:
        if not 0.0 < value < 1.0:
            raise ValueError(
                f"weight is {value}; allowed: above 0 and below 1, because the divergence tends to 0 at both ends. "
                "For KL(q || p), which some papers call weight 0, choose the divergence forward-kl; "
                "for KL(p || q), which they call weight 1, choose reverse-kl"
            )
        return value


class SkewKLConfig(DivergenceConfig):
    """KL to a mixture that holds a share of both sides, so that it stays finite; bounded by -ln skew.

    forward: KL(q || skew q + (1 - skew) p). reverse: KL(p || skew p + (1 - skew) q). This is DistiLLM's convention
    (arXiv 2402.03898): `skew` is the share of the *first* argument, so that 0 would be the plain KL and 1 would be 0.
    """

    skew: float = Field(default=0.1, gt=0, lt=1)
    """The first argument's share of the mixture, above 0 and below 1."""

    direction: Direction = "forward"
    """`forward` starts from the teacher, as forward-kl does; `reverse` from the student, as reverse-kl does."""


class TotalVariationConfig(DivergenceConfig):
    """Total variation, half the sum of |p - q|: between 0 and 1."""


class AlphaConfig(DivergenceConfig):
    """Rényi divergence of a chosen order: a family that passes through KL at order 1.

    reverse: ln(sum p^order q^(1 - order)) / (order - 1), which tends to KL(p || q) as the order tends to 1.
    forward: the same with p and q exchanged, which tends to KL(q || p). At order 0.5 both are equal.
    """

    order: float = Field(default=0.5, gt=0)
    """The order, above 0. Not 1 nor within 0.001 of it, where the quotient is lost in rounding: that is a KL."""

    direction: Direction = "reverse"
    """Which side is raised to the order: `reverse` the student's, `forward` the teacher's."""

    @field_validator("order")
    @classmethod
    def _apart_from_1(cls, value: float) -> float:
        if abs(value - 1.0) < NEAREST_ORDER_TO_1:
            raise ValueError(
                f"order is {value}; allowed: above 0 and at least {NEAREST_ORDER_TO_1} from 1. The limit at 1 is a KL: "
                "choose the divergence reverse-kl (KL(p || q)) or forward-kl (KL(q || p))"
            )
        return value
