"""`random-peer`: the control that asks whether verdicts matter, with peers drawn blind to them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mopd_core.contexts import RunContext
from mopd_core.peers.controls import ControlConfig, fill_slots, slot_roles
from mopd_core.peers.draws import Draws, choose
from mopd_core.types import PeerSelection, RolloutGroup


class RandomPeerConfig(ControlConfig):
    """Control: peers of the group drawn blind to their verdicts, in the slots of `contrastive`."""


class RandomPeerSelector:
    """Fills the slots from the group's judged rollouts."""

    def __init__(self, config: RandomPeerConfig) -> None:
        self._config = config

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        draws = Draws(rng)
        return [self._select_group(number, group, draws) for number, group in enumerate(groups)]

    def _select_group(self, number: int, group: RolloutGroup, draws: Draws) -> list[PeerSelection]:
        order = draws.shuffled(group, group.known, "known")
        return [
            fill_slots(target, roles, [(number, index) for index in choose(order, target, len(roles))])
            for target, roles in enumerate(slot_roles(self._config, group, draws))
        ]


def build(config: RandomPeerConfig, context: RunContext) -> RandomPeerSelector:
    """The registered factory."""
    return RandomPeerSelector(config)
