"""`unrelated-prompt`: the control that asks whether peers have to answer the same prompt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import Random

from mopd_core.contexts import RunContext
from mopd_core.peers.controls import ControlConfig, fill_slots, slot_roles
from mopd_core.peers.draws import Draws
from mopd_core.types import PeerSelection, RolloutGroup

_log = logging.getLogger(__name__)


class UnrelatedPromptConfig(ControlConfig):
    """Control: successes of other prompts of the step in the slots of `contrastive`; a step needs two prompts."""

    def min_group_size(self) -> int:
        return 1 if self.slots == "all" else 2

    def min_prompts(self) -> int:
        return 2


class UnrelatedPromptSelector:
    """Fills the slots from the step's other prompts; all targets of a group are shown the same."""

    def __init__(self, config: UnrelatedPromptConfig) -> None:
        self._config = config

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        if len({group.prompt.id for group in groups}) == 1:
            _log.warning("unrelated-prompt shows nothing: a step needs at least two prompts, and this one has one")
        draws = Draws(rng)
        return [self._select_group(groups, group, draws) for group in groups]

    def _select_group(self, groups: Sequence[RolloutGroup], group: RolloutGroup, draws: Draws) -> list[PeerSelection]:
        fillers = unrelated_successes(groups, group, draws)
        return [
            fill_slots(target, roles, fillers) for target, roles in enumerate(slot_roles(self._config, group, draws))
        ]


def unrelated_successes(groups: Sequence[RolloutGroup], group: RolloutGroup, draws: Draws) -> list[tuple[int, int]]:
    """Every success of the step's other prompts as (group, index), in an order drawn for `group`."""
    others = sorted((other.prompt.id, number) for number, other in enumerate(groups))
    pool = [(n, index) for prompt_id, n in others if prompt_id != group.prompt.id for index in groups[n].successes]
    return draws.shuffled(group, pool, "other prompts")


def build(config: UnrelatedPromptConfig, context: RunContext) -> UnrelatedPromptSelector:
    """The registered factory."""
    return UnrelatedPromptSelector(config)
