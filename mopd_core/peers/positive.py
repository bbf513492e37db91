"""`positive`: positive peer imitation (docs/method.md section 2), successes only."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pydantic import Field

from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.peers.draws import Draws, as_peers, choose
from mopd_core.types import PeerSelection, RolloutGroup


class PositiveConfig(PluginConfig):
    """Successes of the group, drawn at random, without failures."""

    successes: int = Field(default=2, ge=1)
    """How many successes are shown at most."""

    def min_group_size(self) -> int:
        return 2


class PositiveSelector:
    """Shows the successes that `contrastive` would show, and no failure."""

    def __init__(self, config: PositiveConfig) -> None:
        self._config = config

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        draws = Draws(rng)
        return [self._select_group(number, group, draws) for number, group in enumerate(groups)]

    def _select_group(self, number: int, group: RolloutGroup, draws: Draws) -> list[PeerSelection]:
        order = draws.successes(group)
        return [
            PeerSelection(target, as_peers(number, choose(order, target, self._config.successes), "success"))
            for target in range(len(group))
        ]


def build(config: PositiveConfig, context: RunContext) -> PositiveSelector:
    """The registered factory."""
    return PositiveSelector(config)
