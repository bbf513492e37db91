"""Programs of a few statements that change one whole number: read it, take three to five steps, print it.

A step is worded as a `Clause` and written as a `Statement`. A new step is a `Kind`: its words, the form that does what
they say, and forms that are taken for it. A response is read back by looking its statements up, and never run: what a
model writes beyond them is for the verifier `code`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random

from mopd_core.bundled import statements as forms
from mopd_core.bundled.statements import Form, Statement, outputs
from mopd_core.types import Json

INPUTS = range(-20, 31)
"""The numbers that a program has to be right for; its tests are some of them."""

FEWEST_OUTPUTS = 6
"""How many different numbers a program prints for `INPUTS`: where it prints few, mistakes do not show."""

FEWEST_TESTS = 3
"""Tests of a problem for which fewer would do."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_HEAD, _TAIL = "```python\nx = int(input())\n", "\nprint(x)\n```"


@dataclass(frozen=True, slots=True)
class Kind:
    """A step that can be asked for: its words, its right form, the forms taken for it, and the numbers it may have."""

    words: str
    right: Form
    wrong: tuple[Form, ...]
    a: range = range(1, 10)
    b: range = range(1)


KINDS: tuple[Kind, ...] = (
    Kind("add {a}", forms.ADD, (forms.SUBTRACT,)),
    Kind("subtract {a}", forms.SUBTRACT, (forms.ADD,)),
    Kind("multiply by {a}", forms.MULTIPLY, (forms.ADD,), a=range(2, 6)),
    Kind("raise it to at least {a}", forms.RAISE, (forms.LOWER,)),
    Kind("lower it to at most {a}", forms.LOWER, (forms.RAISE,)),
    Kind("divide by {a}, rounding down", forms.DIVIDE, (forms.REMAINDER,), a=range(2, 6)),
    Kind("take the remainder by {a}", forms.REMAINDER, (forms.DIVIDE,), a=range(3, 10)),
    Kind("if above {a}, subtract {b}", forms.IF_ABOVE, (forms.IF_FROM, forms.IF_BELOW), b=range(1, 10)),
    Kind("if even, add {a}, else subtract {b}", forms.EVEN_ELSE, (forms.ODD_ELSE,), b=range(1, 10)),
    Kind("add each number from 1 to {a}", forms.EACH, (forms.EACH_BUT_LAST,), a=range(3, 9)),
    Kind("{a} times, double it and add {b}", forms.DOUBLE_ADD, (forms.DOUBLE_BOTH,), a=range(2, 5), b=range(1, 10)),
)
"""The steps, all equally likely."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One step of a problem: its kind and its numbers; `str` gives its words."""

    kind: Kind
    a: int
    b: int

    def __str__(self) -> str:
        return self.kind.words.format(a=self.a, b=self.b)

    @property
    def right(self) -> Statement:
        return Statement(self.kind.right, self.a, self.b)

    @property
    def mistakes(self) -> tuple[Statement, ...]:
        """What may be written for it: a form that is taken for the right one, or a number that is off by one."""
        numbers = [(self.a + by, self.b) for by in (-1, 1)] + [(self.a, self.b + by) for by in (-1, 1)]
        off = [Statement(self.kind.right, a, b) for a, b in numbers if a in self.kind.a and b in self.kind.b]
        wrong = [Statement(each, self.a, self.b) for each in self.kind.wrong]
        return tuple({str(statement): statement for statement in (*wrong, *off)}.values())

    @property
    def confusion(self) -> Statement | None:
        """The one mistake that is easily made here; a fifth of all kinds with a first number have such a mistake."""
        digest = hashlib.blake2b(f"{self.kind.words}: {self.a}".encode(), digest_size=2).digest()
        return None if digest[0] % 5 else self.mistakes[digest[1] % len(self.mistakes)]


@dataclass(frozen=True, slots=True)
class Step:
    """A clause and the statement that is written for it, right or wrong."""

    clause: Clause
    statement: Statement

    @property
    def is_right(self) -> bool:
        return self.statement == self.clause.right


@dataclass(frozen=True, slots=True)
class Program:
    """A worked solution: reading x, the steps, and printing it, in a fenced block; each step has its words above it."""

    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        return _HEAD + "\n".join(f"{note}\n{step.statement}" for note, step in self._noted()) + _TAIL

    def _noted(self) -> Iterator[tuple[str, Step]]:
        """Each step with the comment above it."""
        return ((f"# {ordinal} {step.clause}", step) for ordinal, step in zip(_ORDINALS, self.steps, strict=False))

    @property
    def wrong_steps(self) -> Set[Step]:
        return {step for step in self.steps if not step.is_right}

    @property
    def wrong_ends(self) -> Set[int]:
        """Positions in `text` within and just after each wrong statement."""
        ends: set[int] = set()
        position = len(_HEAD)
        for note, step in self._noted():
            position += len(note) + 1
            length = len(str(step.statement))
            if not step.is_right:
                ends.update(range(position + 1, position + length + 1))
            position += length + 1
        return ends


@dataclass(frozen=True, slots=True)
class ProgramProblem:
    """A program to write, as the clauses to carry out in order."""

    clauses: tuple[Clause, ...]

    @property
    def question(self) -> str:
        steps = "; ".join(f"{ordinal} {clause}" for ordinal, clause in zip(_ORDINALS, self.clauses, strict=False))
        return f"Write a Python program: read a whole number; {steps}; print it."

    @property
    def reference(self) -> Json:
        """Tests on standard input, in the form of the verifier `code`."""
        tests: list[Json] = [
            {"input": f"{x}\n", "output": f"{outputs(self.right, (x,))[0]}\n"} for x in self.test_inputs()
        ]
        return {"kind": "stdin", "tests": tests}

    @property
    def right(self) -> tuple[Statement, ...]:
        """What each clause asks for."""
        return tuple(clause.right for clause in self.clauses)

    def test_inputs(self) -> tuple[int, ...]:
        """A few of `INPUTS` that catch every program with one mistake, unless it is right for all of them."""
        right = self.right
        expected = outputs(right, INPUTS)
        caught = [
            {x for x, wrong, good in zip(INPUTS, outputs(program, INPUTS), expected, strict=True) if wrong != good}
            for program in _with_one_mistake(self.clauses)
        ]
        chosen: list[int] = []
        while uncaught := [inputs for inputs in caught if inputs and inputs.isdisjoint(chosen)]:
            chosen.append(max(INPUTS, key=lambda x: sum(x in inputs for inputs in uncaught)))
        others = [x for x in (0, 7, -5) if x not in chosen]
        return tuple(chosen + others[: max(0, FEWEST_TESTS - len(chosen))])

    def worked(self, rng: Random | None = None, error_rate: float = 0.0) -> Program:
        """Write it statement by statement.

        A statement is wrong with probability `error_rate`, by any of its clause's mistakes; where there is a confusion,
        it is wrong five times as often (at most always), by that one.
        """
        return Program(
            tuple(
                Step(clause, clause.right if rng is None else _attempt(clause, rng, error_rate))
                for clause in self.clauses
            )
        )

    def solved_by(self, text: str) -> bool:
        """Whether a response is a program of known statements that is right for all of `INPUTS`."""
        written = read_program(text)
        return written is not None and outputs(written, INPUTS) == outputs(self.right, INPUTS)


def draw_program(rng: Random) -> ProgramProblem:
    """Three to five clauses of different kinds, every length equally likely, that leave x some of its variety."""
    while True:
        kinds = rng.sample(KINDS, k=rng.randint(3, 5))
        problem = ProgramProblem(tuple(Clause(kind, rng.choice(kind.a), rng.choice(kind.b)) for kind in kinds))
        if len(set(outputs(problem.right, INPUTS))) >= FEWEST_OUTPUTS:
            return problem


def read_program(text: str) -> tuple[Statement, ...] | None:
    """The statements of a response, comments aside; None where it is anything but a program of known statements."""
    if not (text.startswith(_HEAD) and text.endswith(_TAIL)):
        return None
    known = _known_statements()
    body = re.sub(r"^#.*\n", "", text[len(_HEAD) : -len(_TAIL)], flags=re.MULTILINE)
    written = re.split(r"\n(?! |else)", body)
    return tuple(known[line] for line in written) if known.keys() >= set(written) else None


@cache
def _known_statements() -> Mapping[str, Statement]:
    known = {each for kind in KINDS for each in (kind.right, *kind.wrong)}
    every = (Statement(each, a, b) for each, a, b in product(known, range(1, 10), range(10)))
    return {str(statement): statement for statement in every}


def _attempt(clause: Clause, rng: Random, error_rate: float) -> Statement:
    if clause.confusion is not None:
        return clause.confusion if rng.random() < 5 * error_rate else clause.right
    return rng.choice(clause.mistakes) if rng.random() < error_rate else clause.right


def _with_one_mistake(clauses: Sequence[Clause]) -> list[list[Statement]]:
    right = [clause.right for clause in clauses]
    return [
        [*right[:place], mistake, *right[place + 1 :]]
        for place, clause in enumerate(clauses)
        for mistake in clause.mistakes
    ]
