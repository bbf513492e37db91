"""Generated problems with worked solutions, made from a seed: chains of single-digit arithmetic modulo 10.

A family says how long its chains are; a new one is a line in `FAMILIES` and a name in `source.FamilyName`. Each
operation is a bijection of the ten digits, so one wrong step always ends in a wrong answer; only further wrong steps
can undo it. A question belongs to exactly one split, whatever family and seed made it, so what is held out was never
trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal

from mopd_core.seeds import derive_random

Split = Literal["train", "held_out", "pretrain"]

_OPERANDS: Mapping[str, tuple[int, ...]] = {"+": tuple(range(1, 10)), "-": tuple(range(1, 10)), "*": (3, 7, 9)}
_BUCKETS: Mapping[Split, range] = {"held_out": range(1), "train": range(1, 3), "pretrain": range(3, 10)}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a chain: its symbol (+, - or *) and its digit."""

    symbol: str
    digit: int

    def __str__(self) -> str:
        return f"{self.symbol} {self.digit}"

    def apply(self, value: int) -> int:
        """The last digit of the result."""
        results = {"+": value + self.digit, "-": value - self.digit, "*": value * self.digit}
        return results[self.symbol] % 10

    def confusion(self, value: int) -> int | None:
        """The one wrong result that is easily taken for the right one; a fifth of all facts have such a result."""
        digest = hashlib.blake2b(f"{value} {self}".encode(), digest_size=2).digest()
        return None if digest[0] % 5 else (self.apply(value) + 1 + digest[1] % 9) % 10


@dataclass(frozen=True, slots=True)
class Step:
    """One worked line. `result` is what the line claims, right or wrong."""

    value: int
    operation: Operation
    result: int

    def __str__(self) -> str:
        return f"{self.value} {self.operation} = {self.result}"

    @property
    def is_right(self) -> bool:
        return self.operation.apply(self.value) == self.result


@dataclass(frozen=True, slots=True)
class Solution:
    """A worked solution: one step a line, then the last result in a box."""

    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        return "\n".join([*map(str, self.steps), f"Answer: \\boxed{{{self.answer}}}"])

    @property
    def answer(self) -> str:
        return str(self.steps[-1].result)

    @property
    def wrong_steps(self) -> Set[Step]:
        return {step for step in self.steps if not step.is_right}

    @property
    def wrong_ends(self) -> Set[int]:
        """Positions in `text` just after each wrong result."""
        ends, position = set(), 0
        for step in self.steps:
            position += len(str(step))
            if not step.is_right:
                ends.add(position)
            position += 1
        return ends


@dataclass(frozen=True, slots=True)
class Problem:
    """A start digit and the operations to apply to it, in order, modulo 10."""

    start: int
    operations: tuple[Operation, ...]

    @property
    def question(self) -> str:
        chain = ", ".join(map(str, self.operations))
        return f"Work modulo 10. Start with {self.start}, then: {chain}. What is the result?"

    @property
    def answer(self) -> str:
        return self.worked().answer

    @property
    def split(self) -> Split:
        """The split that this question belongs to, from a hash of its text."""
        bucket = int.from_bytes(hashlib.blake2b(self.question.encode(), digest_size=8).digest(), "big") % 10
        return next(split for split, buckets in _BUCKETS.items() if bucket in buckets)

    def worked(self, rng: Random | None = None, error_rate: float = 0.0) -> Solution:
        """Solve it step by step; steps after a wrong one go on from its result.

        A step is wrong with probability `error_rate`, in any of nine ways; where there is a confusion, it is wrong five
        times as often (at most always), in that one way. So some errors are noise, and some look like beliefs.
        """
        steps: list[Step] = []
        value = self.start
        for operation in self.operations:
            result = operation.apply(value) if rng is None else _attempt(operation, value, rng, error_rate)
            steps.append(Step(value, operation, result))
            value = result
        return Solution(tuple(steps))


def _attempt(operation: Operation, value: int, rng: Random, error_rate: float) -> int:
    confusion = operation.confusion(value)
    if confusion is not None:
        return confusion if rng.random() < 5 * error_rate else operation.apply(value)
    slip = rng.randint(1, 9) if rng.random() < error_rate else 0
    return (operation.apply(value) + slip) % 10


@dataclass(frozen=True, slots=True)
class Family:
    """Chains of `fewest` to `most` operations, every length equally likely."""

    name: str
    fewest: int
    most: int

    def draw(self, rng: Random) -> Problem:
        """One problem of any split."""
        symbols = rng.choices(tuple(_OPERANDS), k=rng.randint(self.fewest, self.most))
        start = rng.randrange(10)
        return Problem(start, tuple(Operation(symbol, rng.choice(_OPERANDS[symbol])) for symbol in symbols))

    def stream(self, split: Split, rng: Random) -> Iterator[Problem]:
        """Problems of one split without end; some may come again."""
        while True:
            problem = self.draw(rng)
            if problem.split == split:
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
    {family.name: family for family in (Family("chain", 3, 5), Family("chain-long", 8, 8))}
)
"""By name. The bundled model was pre-trained mostly on chains like `chain`; one of eight operations it met rarely."""
