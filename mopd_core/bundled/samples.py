"""What the bundled models are pre-trained on: chat prompts, with and without worked solutions in them, and responses.

A `Mixture` says how often each kind of context comes and how wrong the responses are. Contexts are rendered by the code
that renders the teacher's prompt in training, with its default wording. Problems come from the `pretrain` split alone.
What another model is taught is a line in `SUBJECTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Literal

from mopd_core.bundled.chains import draw_chain
from mopd_core.bundled.families import FAMILIES, Family, Problem, Solution
from mopd_core.peers.context import Block, ContextConfig, render_question
from mopd_core.types import Message


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of context: how many right and wrong solutions it shows, and whether they answer another question."""

    successes: int
    failures: int
    unrelated: bool = False


@dataclass(frozen=True, slots=True)
class Mixture:
    """How often each context comes, and how wrong the responses are (rates as `Problem.worked` takes them)."""

    error_rate: float = 0.12
    """Without context, and with solutions of other questions. It sets how often the model solves a problem."""

    failure_only_rate: float = 0.06
    """With nothing but wrong solutions shown; none of their wrong steps is made again."""

    long_share: float = 0.1
    """Share of the chains that have six to eight operations; the others have three to five."""

    weights: tuple[tuple[Shape, float], ...] = (
        (Shape(0, 0), 0.40),
        (Shape(1, 0), 0.05),
        (Shape(2, 0), 0.05),
        (Shape(1, 1), 0.05),
        (Shape(2, 1), 0.15),
        (Shape(0, 1), 0.06),
        (Shape(1, 0, unrelated=True), 0.08),
        (Shape(2, 1, unrelated=True), 0.16),
    )
    """Share of the samples with each context."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A chat prompt, the response to learn, and the positions just after characters that are shown but not learned."""

    messages: tuple[Message, ...]
    response: str
    not_learned: Set[int]


def solve_until(problem: Problem, rng: Random, error_rate: float, accept: Callable[[Solution], bool]) -> Solution:
    """Work it at this error rate until a solution is accepted: how a verifier sorts a model's samples."""
    while not accept(solution := problem.worked(rng, error_rate)):
        pass
    return solution


def context_blocks(problem: Problem, shape: Shape, rng: Random, error_rate: float) -> list[tuple[Block, Solution]]:
    """Right solutions first, then wrong ones, each with the block that shows it."""

    def shown(kind: str) -> tuple[Block, Solution]:
        right = kind == "success"
        solution = solve_until(problem, rng, error_rate, lambda s: problem.solved_by(s.text) == right)
        return Block(kind, solution.text), solution

    return [shown("success") for _ in range(shape.successes)] + [shown("failure") for _ in range(shape.failures)]


def draw_sample(problem: Problem, other: Problem, shape: Shape, mixture: Mixture, rng: Random) -> Sample:
    """One sample for `problem`; an unrelated context shows solutions of `other`.

    With a right solution shown, a response still has wrong steps, as a student's has, but their results go unlearned:
    the model meets wrong prefixes, learns to go on from them with the right operation, and never learns to err.
    """
    shown = context_blocks(other if shape.unrelated else problem, shape, rng, mixture.error_rate)
    messages = render_question(
        ContextConfig(), [Message(role="user", content=problem.question)], [block for block, _ in shown]
    )
    if shape.unrelated or not shown:
        return Sample(messages, problem.worked(rng, mixture.error_rate).text, frozenset())
    if shape.successes:
        solution = problem.worked(rng, mixture.error_rate)
        return Sample(messages, solution.text, solution.wrong_ends)
    known_wrong = {step for _, seen in shown for step in seen.wrong_steps}
    solution = solve_until(problem, rng, mixture.failure_only_rate, lambda s: known_wrong.isdisjoint(s.wrong_steps))
    return Sample(messages, solution.text, frozenset())


def stream_chains(mixture: Mixture, rng: Random) -> Iterator[Problem]:
    """Chains of the pre-training split without end: mostly of family `chain`, some longer."""
    longer = Family("longer", partial(draw_chain, fewest=6, most=8))
    short, long = FAMILIES["chain"].stream("pretrain", rng), longer.stream("pretrain", rng)
    while True:
        yield next(long if rng.random() < mixture.long_share else short)


def stream_programs(mixture: Mixture, rng: Random) -> Iterator[Problem]:
    """Problems of family `programs` of the pre-training split, without end."""
    return FAMILIES["programs"].stream("pretrain", rng)


@dataclass(frozen=True, slots=True)
class Subject:
    """What one bundled model is taught: a stream of problems, and the families on which it is measured."""

    problems: Callable[[Mixture, Random], Iterator[Problem]]
    measured: tuple[str, ...]


SubjectName = Literal["chains", "programs"]

SUBJECTS: Mapping[SubjectName, Subject] = MappingProxyType(
    {
        "chains": Subject(stream_chains, ("chain", "chain-long")),
        "programs": Subject(stream_programs, ("programs",)),
    }
)
"""One a model."""


def stream_samples(subject: SubjectName, mixture: Mixture, rng: Random) -> Iterator[Sample]:
    """Samples without end, from the pre-training split."""
    shapes, weights = zip(*mixture.weights, strict=True)
    problems = SUBJECTS[subject].problems(mixture, rng)
    for problem in problems:
        (shape,) = rng.choices(shapes, weights)
        yield draw_sample(problem, next(problems) if shape.unrelated else problem, shape, mixture, rng)
