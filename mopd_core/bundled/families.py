"""Families of generated problems with worked solutions, made from a seed.

A new family is a line in `FAMILIES` and a name in `source.FamilyName`; a new kind of problem is a module such as
`chains` or `programs`, whose classes keep to `Problem` and `Solution`. A question belongs to exactly one split,
whatever family and seed made it, so what is held out was never trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Literal, Protocol

from mopd_core.bundled.chains import draw_chain
from mopd_core.bundled.programs import draw_program
from mopd_core.seeds import derive_random
from mopd_core.types import Json

Split = Literal["train", "held_out", "pretrain"]

_BUCKETS: Mapping[Split, range] = {"held_out": range(1), "train": range(1, 3), "pretrain": range(3, 10)}


class Solution(Protocol):
    """A worked solution, right or wrong."""

    @property
    def text(self) -> str:
        """The response."""

    @property
    def wrong_steps(self) -> Set[Hashable]:
        """Its wrong steps; equal ones are the same mistake."""

    @property
    def wrong_ends(self) -> Set[int]:
        """Positions in `text` just after what a wrong step gets wrong."""


class Problem(Protocol):
    """A question, what its verifier compares with, and solutions of it. Equal problems have equal questions."""

    @property
    def question(self) -> str:
        """All that the user's message says."""

    @property
    def reference(self) -> Json:
        """What the verifier of its family takes."""

    def worked(self, rng: Random | None = None, error_rate: float = 0.0) -> Solution:
        """Solve it, right without `rng`; each step is wrong with a probability that `error_rate` sets."""

    def solved_by(self, text: str) -> bool:
        """Whether a response is right: what its verifier would say, without one."""


def split_of(question: str) -> Split:
    """The split that a question belongs to, from a hash of its text."""
    bucket = int.from_bytes(hashlib.blake2b(question.encode(), digest_size=8).digest(), "big") % 10
    return next(split for split, buckets in _BUCKETS.items() if bucket in buckets)


@dataclass(frozen=True, slots=True)
class Family:
    """Problems of one kind. draw: one of them, of any split."""

    name: str
    draw: Callable[[Random], Problem]

    def stream(self, split: Split, rng: Random) -> Iterator[Problem]:
        """Problems of one split without end; some may come again."""
        while True:
            problem = self.draw(rng)
            if split_of(problem.question) == split:
                yield problem

    def problems(self, split: Split, n: int, seed: int) -> list[Problem]:
        """The first `n` distinct problems of a split: equal arguments, equal problems; a larger n adds to them."""
        rng = derive_random(seed, 0, f"{self.name}/{split}", "bundled problems")
        distinct: dict[Problem, None] = {}
        for problem in self.stream(split, rng):
            if len(distinct) == n:
                break
            distinct[problem] = None
        return list(distinct)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family("chain", partial(draw_chain, fewest=3, most=5)),
            Family("chain-long", partial(draw_chain, fewest=8, most=8)),
            Family("programs", draw_program),
        )
    }
)
"""By name. Of the bundled models, one was pre-trained mostly on chains like `chain`, the other on `programs`."""
