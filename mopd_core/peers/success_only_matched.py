"""`success-only-matched`: `contrastive` with more successes where its failures stood (docs/method.md section 7).

Given an equal generator it shows the successes that `contrastive` shows, to the same targets, in as many blocks: what
differs is the failure alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

from mopd_core.contexts import RunContext
from mopd_core.peers.contrastive import SlotsConfig
from mopd_core.peers.controls import as_contrastive
from mopd_core.peers.draws import Draws
from mopd_core.peers.unrelated_prompt import unrelated_successes
from mopd_core.types import Peer, PeerSelection, RolloutGroup


class SuccessOnlyMatchedConfig(SlotsConfig):
    """Control: `contrastive` with its failure slots filled by more successes, topped up from other prompts."""

    match: Literal["blocks", "tokens"] = "blocks"
    """`blocks`: the next success in order fills a slot. `tokens`: the one whose length is nearest to the failure's."""


class SuccessOnlyMatchedSelector:
    """Successes of the target's own prompt fill the slots as long as there are any."""

    def __init__(self, config: SuccessOnlyMatchedConfig) -> None:
        self._config = config
        self._original = as_contrastive(config)

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        draws = Draws(rng)
        return [self._select_group(groups, number, draws) for number in range(len(groups))]

    def _select_group(self, groups: Sequence[RolloutGroup], number: int, draws: Draws) -> list[PeerSelection]:
        group = groups[number]
        own = [Peer(number, index, "success") for index in draws.successes(group)]
        other = [Peer(*place, "success") for place in unrelated_successes(groups, group, draws)]
        return [
            self._replace_failures(groups, selection, own, other)
            for selection in self._original.select_group(number, group, draws)
        ]

    def _replace_failures(
        self, groups: Sequence[RolloutGroup], selection: PeerSelection, own: Sequence[Peer], other: Sequence[Peer]
    ) -> PeerSelection:
        shown = [peer for peer in selection.peers if peer.role == "success"]
        spare = [peer for peer in own if peer.index != selection.target and peer not in shown]
        other = list(other)
        for failure in selection.peers[len(shown) :]:
            if pool := spare or other:
                filler = self._nearest(groups, pool, failure)
                pool.remove(filler)
                shown.append(filler)
        return PeerSelection(selection.target, tuple(shown))

    def _nearest(self, groups: Sequence[RolloutGroup], pool: Sequence[Peer], failure: Peer) -> Peer:
        if self._config.match == "blocks":
            return pool[0]
        length = _length(groups, failure)
        return min(pool, key=lambda peer: abs(_length(groups, peer) - length))


def _length(groups: Sequence[RolloutGroup], peer: Peer) -> int:
    """Response tokens of a peer."""
    return len(groups[peer.group].rollouts[peer.index].token_ids)


def build(config: SuccessOnlyMatchedConfig, context: RunContext) -> SuccessOnlyMatchedSelector:
    """The registered factory."""
    return SuccessOnlyMatchedSelector(config)
