"""What the matched-budget controls share (docs/method.md section 7): the blocks of `contrastive`, filled otherwise.

A block is introduced as its slot says, whatever fills it, so that the wording of the prompt does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector, SlotsConfig
from mopd_core.peers.draws import Draws
from mopd_core.types import Peer, PeerSelection, Role, RolloutGroup

SUCCESS: Final[Role] = "success"
FAILURE: Final[Role] = "failure"


class ControlConfig(SlotsConfig):
    """A control that fills the slots of `contrastive`, whose default is the counts of 2S1F."""

    slots: Literal["all", "as-contrastive"] = "all"
    """`all`: every slot is filled for every target. `as-contrastive`: only the slots that `contrastive` would have
    filled for the target, so that the same targets are distilled with equally many blocks."""


def as_contrastive(config: SlotsConfig) -> ContrastiveSelector:
    """The selector that a control is compared with."""
    return ContrastiveSelector(ContrastiveConfig(successes=config.successes, failures=config.failures))


def slot_roles(config: ControlConfig, group: RolloutGroup, draws: Draws) -> list[tuple[Role, ...]]:
    """The roles of the slots to fill, for every target of the group."""
    if config.slots == "all":
        return [(SUCCESS,) * config.successes + (FAILURE,) * config.failures] * len(group)
    original = as_contrastive(config).select_group(0, group, draws)
    return [tuple(peer.role for peer in selection.peers) for selection in original]


def fill_slots(target: int, roles: Sequence[Role], fillers: Sequence[tuple[int, int]]) -> PeerSelection:
    """One filler (group, index) a slot, as far as there are any."""
    return PeerSelection(target, tuple(Peer(*filler, role) for role, filler in zip(roles, fillers, strict=False)))
