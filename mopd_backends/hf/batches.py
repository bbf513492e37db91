"""Which rollouts are decoded together: prompts of similar length side by side, and groups whole where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Some rollouts of one prompt: prompt number `prompt`, and which of its group."""

    prompt: int
    rollouts: range


def plan_batches(lengths: Sequence[int], group_sizes: Sequence[int], batch_size: int) -> list[list[Share]]:
    """Put every rollout of P prompts in a batch of at most `batch_size`, longest prompts first.

    lengths: tokens of each prompt. group_sizes: rollouts of each prompt. Only a group larger than a batch is split.
    """
    batches: list[list[Share]] = []
    room = 0
    for prompt in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
        size = group_sizes[prompt]
        for start in range(0, size, batch_size):
            share = Share(prompt, range(start, min(start + batch_size, size)))
            if len(share.rollouts) > room:
                batches.append([])
                room = batch_size
            batches[-1].append(share)
            room -= len(share.rollouts)
    return batches
