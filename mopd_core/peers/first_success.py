"""`first-success`: the context of SDPO (docs/method.md section 6), the group's first success that is not the target."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.peers.draws import as_peers, choose
from mopd_core.types import PeerSelection, RolloutGroup


class FirstSuccessConfig(PluginConfig):
    """The first success of the group, without failures (the context of SDPO)."""

    def min_group_size(self) -> int:
        return 2


class FirstSuccessSelector:
    """Draws nothing: the order is that of sampling."""

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        return [
            [
                PeerSelection(target, as_peers(number, choose(group.successes, target, 1), "success"))
                for target in range(len(group))
            ]
            for number, group in enumerate(groups)
        ]


def build(config: FirstSuccessConfig, context: RunContext) -> FirstSuccessSelector:
    """The registered factory."""
    return FirstSuccessSelector()
