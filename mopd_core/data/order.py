"""Which prompts a step trains on: a pure function of the step's number, so a resumed run has nothing to restore.

Another order (a curriculum, say) is another function with these arguments.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

from mopd_core.seeds import derive_random


def prompts_for_step(n: int, per_step: int, step: int, seed: int) -> list[int]:
    """Indices in [0, n) of the `per_step` rows that step `step` (from 1) uses.

    Rows come in epochs, each a shuffle of all n rows; a step may begin in one epoch and end in a later one. No row
    comes twice in an epoch, nor twice in a step unless per_step > n.
    """
    start = (step - 1) * per_step
    return [_epoch(n, per_step, place // n, seed)[place % n] for place in range(start, start + per_step)]


@lru_cache(maxsize=4)
def _epoch(n: int, per_step: int, epoch: int, seed: int) -> tuple[int, ...]:
    """The order of one epoch, counted from 0.

    An epoch that begins inside a step avoids that step's earlier rows, so it depends on the epoch before it. The chain
    starts at the last epoch that began with a step: every (per_step / gcd(n, per_step))-th does.
    """
    if per_step > n:
        return tuple(_shuffled(n, epoch, seed))
    first = epoch - epoch % (per_step // gcd(n, per_step))
    order = _shuffled(n, first, seed)
    for number in range(first + 1, epoch + 1):
        taken = number * n % per_step
        order = _avoiding(_shuffled(n, number, seed), order[n - taken :], per_step - taken)
    return tuple(order)


def _shuffled(n: int, epoch: int, seed: int) -> list[int]:
    order = list(range(n))
    derive_random(seed, epoch, "", "prompt order").shuffle(order)
    return order


def _avoiding(order: list[int], taken: list[int], head: int) -> list[int]:
    """Swap rows in `taken` out of the first `head` places, each with the next later row that is not."""
    avoid = set(taken)
    later = (place for place in range(head, len(order)) if order[place] not in avoid)
    for place in range(head):
        if order[place] in avoid:
            other = next(later)
            order[place], order[other] = order[other], order[place]
    return order
