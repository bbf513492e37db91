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
    """All targets of a group are shown the same peers, but for those peers, which are shown another set of them.

    Where a group has too few for two such sets, only the target's own slot is filled by another peer.
    """

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
        n_successes, n_failures = self._config.successes, self._config.failures
        both = self._config.show_failures == "always"
        with_successes = failure_order[:n_failures] if both else ()
        chosen = choose(success_order, target, n_successes, with_successes)
        successes = as_peers(number, chosen, "success")
        if bool(successes) != both:
            return PeerSelection(target, successes)
        failures = choose(failure_order, target, n_failures, success_order[:n_successes] if both else ())
        return PeerSelection(target, successes + as_peers(number, failures, "failure"))


def build(config: ContrastiveConfig, context: RunContext) -> ContrastiveSelector:
    """The registered factory."""
    return ContrastiveSelector(config)
