"""`contrastive`: successes and failures side by side (docs/method.md section 2); default: the paper's best, 2S1F."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

from pydantic import Field

from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.peers.draws import Draws, as_peers, choose
from mopd_core.types import PeerSelection, RolloutGroup


class SlotsConfig(PluginConfig):
    """How many blocks of each role a context has: what `contrastive` and its matched controls share."""

    successes: int = Field(default=2, ge=1)
    """How many successes are shown at most; they come first."""

    failures: int = Field(default=1, ge=0)
    """How many failures are shown at most."""

    def min_group_size(self) -> int:
        return 2


class ContrastiveConfig(SlotsConfig):
    """Successes to follow and a failure to avoid, drawn from the group."""

    show_failures: Literal["always", "no-success"] = "always"
    """`always`: failures stand beside successes, and a target without a success among its peers is shown nothing.
    `no-success`: successes stand alone, and failures are shown to targets without a success among their peers."""


class ContrastiveSelector:
    """Most targets of a group are shown the same peers; only a target that is one of them sees a replacement."""

    def __init__(self, config: ContrastiveConfig) -> None:
        self._config = config

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        draws = Draws(rng)
        return [self.select_group(number, group, draws) for number, group in enumerate(groups)]

    def select_group(self, number: int, group: RolloutGroup, draws: Draws) -> list[PeerSelection]:
        """The selections of one group; controls call it with their own draws to see what stood here."""
        success_order, failure_order = draws.successes(group), draws.failures(group)
        return [self._select_target(number, target, success_order, failure_order) for target in range(len(group))]

    def _select_target(
        self, number: int, target: int, success_order: Sequence[int], failure_order: Sequence[int]
    ) -> PeerSelection:
        successes = as_peers(number, choose(success_order, target, self._config.successes), "success")
        if bool(successes) != (self._config.show_failures == "always"):
            return PeerSelection(target, successes)
        failures = as_peers(number, choose(failure_order, target, self._config.failures), "failure")
        return PeerSelection(target, successes + failures)


def build(config: ContrastiveConfig, context: RunContext) -> ContrastiveSelector:
    """The registered factory."""
    return ContrastiveSelector(config)
