"""`score-ordered`: top peers by reward (docs/method.md section 7), for verifiers that give more than pass and fail."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pydantic import Field

from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.peers.draws import Draws, role_of
from mopd_core.types import Peer, PeerSelection, RolloutGroup


class ScoreOrderedConfig(PluginConfig):
    """The peers with the highest rewards, best first, successes or not."""

    peers: int = Field(default=3, ge=1)
    """How many peers are shown at most."""

    def min_group_size(self) -> int:
        return 2


class ScoreOrderedSelector:
    """Equal rewards are ordered at random; a peer at the threshold or above is shown as a success."""

    def __init__(self, config: ScoreOrderedConfig) -> None:
        self._config = config

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        draws = Draws(rng)
        return [self._select_group(number, group, draws) for number, group in enumerate(groups)]

    def _select_group(self, number: int, group: RolloutGroup, draws: Draws) -> list[PeerSelection]:
        order = draws.shuffled(group, group.known, "known")
        order.sort(key=lambda index: -group.verdicts[index].reward)
        ranked = [Peer(number, index, role_of(group, index)) for index in order]
        return [
            PeerSelection(target, tuple(peer for peer in ranked if peer.index != target)[: self._config.peers])
            for target in range(len(group))
        ]


def build(config: ScoreOrderedConfig, context: RunContext) -> ScoreOrderedSelector:
    """The registered factory."""
    return ScoreOrderedSelector(config)
