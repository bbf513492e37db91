"""`positive`: positive peer imitation (docs/method.md section 2), successes only."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pydantic import Field

from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector
from mopd_core.types import Peer, PeerSelection, RolloutGroup


class PositiveConfig(PluginConfig):
    """Successes of the group, drawn at random, without failures."""

    successes: int = Field(default=2, ge=1)
    """How many successes are shown at most."""

    def min_group_size(self) -> int:
        return 2


class PositiveSelector:
    """Shows the successes that `contrastive` would show, and no failure."""

    def __init__(self, config: PositiveConfig) -> None:
        self._original = ContrastiveSelector(ContrastiveConfig(successes=config.successes))

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        return [
            [PeerSelection(selection.target, _successes(selection)) for selection in chosen]
            for chosen in self._original.select(groups, rng)
        ]


def _successes(selection: PeerSelection) -> tuple[Peer, ...]:
    return tuple(peer for peer in selection.peers if peer.role == "success")


def build(config: PositiveConfig, context: RunContext) -> PositiveSelector:
    """The registered factory."""
    return PositiveSelector(config)
