"""Chains of single-digit arithmetic modulo 10, worked a step a line.

Each operation is a bijection of the ten digits, so one wrong step always ends in a wrong answer; only further wrong
steps can undo it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from random import Random

from mopd_core.types import Json

_OPERANDS: Mapping[str, tuple[int, ...]] = {"+": tuple(range(1, 10)), "-": tuple(range(1, 10)), "*": (3, 7, 9)}


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
class WorkedChain:
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
class Chain:
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
    def reference(self) -> Json:
        """What the verifier `math` compares an answer with."""
        return self.answer

    def solved_by(self, text: str) -> bool:
        """Whether the last box of a response holds the answer."""
        return final_answer(text) == self.answer

    def worked(self, rng: Random | None = None, error_rate: float = 0.0) -> WorkedChain:
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
        return WorkedChain(tuple(steps))


def _attempt(operation: Operation, value: int, rng: Random, error_rate: float) -> int:
    confusion = operation.confusion(value)
    if confusion is not None:
        return confusion if rng.random() < 5 * error_rate else operation.apply(value)
    slip = rng.randint(1, 9) if rng.random() < error_rate else 0
    return (operation.apply(value) + slip) % 10


def draw_chain(rng: Random, fewest: int, most: int) -> Chain:
    """A chain of `fewest` to `most` operations, every length equally likely."""
    symbols = rng.choices(tuple(_OPERANDS), k=rng.randint(fewest, most))
    start = rng.randrange(10)
    return Chain(start, tuple(Operation(symbol, rng.choice(_OPERANDS[symbol])) for symbol in symbols))


def final_answer(text: str) -> str | None:
    """What stands in the last box, or None."""
    boxes = re.findall(r"\\boxed\{([^}]*)\}", text)
    return boxes[-1] if boxes else None
