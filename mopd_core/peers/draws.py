"""How selectors draw: one order a group, which all its targets read, so that most of them are shown the same peers.

Equal peers in equal order are equal teacher prompts, which are rendered once and whose prefix is computed once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from random import Random
from typing import TypeVar

from mopd_core.seeds import derive_random
from mopd_core.types import Form, Peer, Role, RolloutGroup

T = TypeVar("T")


class Draws:
    """The randomness of one `select`: a generator of its own for every group and purpose, from a single draw of `rng`.

    So what is drawn for a group depends neither on the other groups of the step nor on their order, and two selectors
    given equal generators draw equal orders: a control can be compared with its original target by target.
    """

    def __init__(self, rng: Random) -> None:
        self._seed = rng.getrandbits(63)

    def shuffled(self, group: RolloutGroup, items: Iterable[T], purpose: str) -> list[T]:
        """The items in an order drawn for this group and purpose."""
        order = list(items)
        derive_random(self._seed, 0, group.prompt.id, purpose).shuffle(order)
        return order

    def successes(self, group: RolloutGroup) -> list[int]:
        """The group's successes in the order that every selector reads."""
        return self.shuffled(group, group.successes, "successes")

    def failures(self, group: RolloutGroup) -> list[int]:
        """The group's failures in the order that every selector reads."""
        return self.shuffled(group, group.failures, "failures")


def choose(order: Sequence[int], target: int, count: int, beside: Collection[int] = ()) -> list[int]:
    """`count` of the order for a target: the first ones, or the next ones if the target is one of the first.

    beside: what else the first ones are shown with; a target among it is shown the next ones too, so that the targets
    that need another context all share one. Where the order holds too few for that, the next in order takes the
    target's slot, and the other slots stay.
    """
    chosen, reserve = list(order[:count]), list(order[count : 2 * count])
    if len(reserve) == count and (target in chosen or target in beside):
        return reserve
    if target in chosen:
        slot = chosen.index(target)
        chosen[slot : slot + 1] = order[count : count + 1]
    return chosen


def as_peers(group: int, indices: Iterable[int], role: Role, form: Form = "full") -> tuple[Peer, ...]:
    """Rollouts of group number `group` as peers of one role."""
    return tuple(Peer(group, index, role, form) for index in indices)


def role_of(group: RolloutGroup, index: int) -> Role:
    """The role of a rollout that is introduced as what it is."""
    return "success" if group.is_success(index) else "failure"
