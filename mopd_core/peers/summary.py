"""`summary`: peers' one-sentence summaries instead of their whole texts (docs/method.md section 7).

Rollouts are asked for a summary by `ContextConfig.summary_request`. Which of them wrote one is known only where the
tags are, in the teacher's prompt: a chosen peer without a summary is left out there, and no other takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.peers.draws import Draws, choose, role_of
from mopd_core.types import Peer, PeerSelection, RolloutGroup


class SummaryConfig(PluginConfig):
    """Peers' one-sentence summaries in place of their whole texts."""

    needed_settings: ClassVar[frozenset[str]] = frozenset({"context.summary_request"})

    peers: int = Field(default=3, ge=1)
    """How many peers are chosen at most; one that wrote no summary is left out of the prompt."""

    source: Literal["successes", "failures", "all"] = "all"
    """Which peers are drawn from. With `all`, successes are shown before failures."""

    def min_group_size(self) -> int:
        return 2


class SummarySelector:
    """Draws peers from the source and shows their summaries."""

    def __init__(self, config: SummaryConfig) -> None:
        self._config = config

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        draws = Draws(rng)
        return [self._select_group(number, group, draws) for number, group in enumerate(groups)]

    def _select_group(self, number: int, group: RolloutGroup, draws: Draws) -> list[PeerSelection]:
        order = self._order(group, draws)
        selections = []
        for target in range(len(group)):
            chosen = sorted(choose(order, target, self._config.peers), key=group.is_success, reverse=True)
            peers = (Peer(number, index, role_of(group, index), "summary") for index in chosen)
            selections.append(PeerSelection(target, tuple(peers)))
        return selections

    def _order(self, group: RolloutGroup, draws: Draws) -> list[int]:
        match self._config.source:
            case "successes":
                return draws.successes(group)
            case "failures":
                return draws.failures(group)
            case "all":
                return draws.shuffled(group, group.known, "known")


def build(config: SummaryConfig, context: RunContext) -> SummarySelector:
    """The registered factory."""
    return SummarySelector(config)
