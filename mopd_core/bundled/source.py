"""The bundled tasks as a source of prompts: one user message each, and what their verifier takes as the reference.

No torch here. A new family is added in `families`; its name goes into `FamilyName`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from mopd_core.bundled.families import FAMILIES, Family, Split
from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.types import Message, Prompt

FamilyName = Literal["chain", "chain-long", "programs"]


class BundledConfig(PluginConfig):
    """Generated tasks that ship with the package: arithmetic for the verifier `math`, programs for `code`."""

    family: FamilyName = "chain"
    """Which tasks: chains of three to five operations, long ones of eight, which the bundled model solves less often,
    or programs of three to five statements, for the model `bundled-programs` and the verifier `code`."""

    train: int = Field(default=2000, ge=1, le=50_000)
    """How many prompts to train on."""

    held_out: int = Field(default=100, ge=0, le=20_000)
    """How many prompts to evaluate on; none of them is ever trained on, whatever the seed."""

    seed: int = Field(default=0, ge=0)
    """Which prompts are drawn."""


@dataclass(frozen=True, slots=True)
class BundledPrompts:
    """The two sets of prompts."""

    train: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]


@dataclass(frozen=True, slots=True)
class BundledSource:
    """Makes the prompts that its config asks for."""

    config: BundledConfig

    def load(self) -> BundledPrompts:
        """Equal configs give equal prompts, and more of them adds to the same ones."""
        family = FAMILIES[self.config.family]
        return BundledPrompts(
            train=_prompts(family, "train", self.config.train, self.config.seed),
            held_out=_prompts(family, "held_out", self.config.held_out, self.config.seed),
        )


def _prompts(family: Family, split: Split, n: int, seed: int) -> tuple[Prompt, ...]:
    return tuple(
        Prompt(
            id=f"{family.name}/{split}/{number:06d}",
            messages=(Message(role="user", content=problem.question),),
            reference=problem.reference,
        )
        for number, problem in enumerate(family.problems(split, n, seed))
    )


def build(config: BundledConfig, context: RunContext) -> BundledSource:
    """The registered factory."""
    return BundledSource(config)
