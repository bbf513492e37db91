"""From a stream of rollouts to what `Generator.generate` returns; for every generator that streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mopd_core.types import Rollout


def in_order(arriving: Iterable[tuple[int, int, Rollout]], seeds: Sequence[Sequence[int]]) -> list[list[Rollout]]:
    """P lists of rollouts from (p, i, rollout) in any order, one for every seed."""
    rollouts = {(p, i): rollout for p, i, rollout in arriving}
    return [[rollouts[p, i] for i in range(len(group))] for p, group in enumerate(seeds)]
