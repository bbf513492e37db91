"""`none`: plain on-policy distillation, where the teacher reads the student's own prompt."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mopd_core.config.base import PluginConfig
from mopd_core.contexts import RunContext
from mopd_core.types import PeerSelection, RolloutGroup


class NoneConfig(PluginConfig):
    """No peers: the teacher reads the student's own prompt (plain on-policy distillation)."""


class NoneSelector:
    """Shows nothing and distils all the same."""

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        return [[PeerSelection(target, needs_context=False) for target in range(len(group))] for group in groups]


def build(config: NoneConfig, context: RunContext) -> NoneSelector:
    """The registered factory."""
    return NoneSelector()
