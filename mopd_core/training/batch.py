"""From groups, selections and teacher prompts to flat batches: the step's tokens, and micro-batches of sequences.

Response ids are appended to both prompts as they were sampled; nothing is retokenised. A row predicts the token after
it, so the last response token is never an input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import attrgetter, itemgetter

import numpy as np
import torch
from torch import Tensor

from mopd_core.divergences.head import HeadTokens
from mopd_core.objectives.weights import TokenBatch, TokenWeights
from mopd_core.training.layout import MIN_SHARED, FlatSequences, Ids, common_prefix, lay_out
from mopd_core.types import RolloutGroup


@dataclass(frozen=True, slots=True)
class Target:
    """A rollout that may be trained on: its place in the step, its prompts, its response and its tokens' place [n]."""

    group: int
    index: int
    prompt: Ids
    teacher_prompt: Ids | None
    response: Ids
    span: slice


@dataclass(frozen=True, slots=True)
class StepBatch:
    """All targets of a step and their response tokens, flat and in the same order."""

    targets: tuple[Target, ...]
    tokens: TokenBatch


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One forward and backward pass. `tokens` are the evaluated tokens' places in the step [m].

    The first `n_distilled` of them have a row in the teacher's sequences; `teacher` is None where none has.
    """

    student: FlatSequences
    teacher: FlatSequences | None
    tokens: Tensor
    student_rows: Tensor
    teacher_rows: Tensor
    n_distilled: int

    def head_tokens(self, batch: TokenBatch, weights: TokenWeights, device: torch.device) -> list[HeadTokens]:
        """The tokens with a teacher, then those without, as the head takes them."""
        parts = []
        for part in (slice(0, self.n_distilled), slice(self.n_distilled, None)):
            places = self.tokens[part]
            if len(places):
                values = (
                    self.student_rows[part],
                    batch.tokens[places],
                    weights.logprob[places],
                    weights.divergence[places],
                )
                rows, targets, logprob, divergence = (value.to(device) for value in values)
                teacher_rows = self.teacher_rows.to(device) if part.stop is not None else None
                parts.append(HeadTokens(rows, teacher_rows, targets, logprob, divergence))
        return parts

    def to(self, device: torch.device) -> MicroBatch:
        teacher = None if self.teacher is None else self.teacher.to(device)
        return replace(self, student=self.student.to(device), teacher=teacher)


def build_step(groups: Sequence[RolloutGroup], teacher_prompts: Sequence[Sequence[Ids | None]]) -> StepBatch:
    """Flatten a step. teacher_prompts: for every group and rollout the teacher's prompt, None where nothing is shown.

    Aborted rollouts are left out. An empty response has no token to train on, but its reward counts in its group.
    """
    targets: list[Target] = []
    start = 0
    for number, (group, prompts) in enumerate(zip(groups, teacher_prompts, strict=True)):
        for index, (rollout, prompt) in enumerate(zip(group.rollouts, prompts, strict=True)):
            if rollout.finish_reason == "abort":
                continue
            span = slice(start, start + len(rollout.token_ids))
            targets.append(Target(number, index, group.prompt.token_ids, prompt, rollout.token_ids, span))
            start = span.stop
    return StepBatch(tuple(targets), _token_batch(groups, targets))


def _token_batch(groups: Sequence[RolloutGroup], targets: Sequence[Target]) -> TokenBatch:
    rollouts = [groups[target.group].rollouts[target.index] for target in targets]
    verdicts = [groups[target.group].verdicts[target.index] for target in targets]
    lengths = torch.tensor([len(rollout.token_ids) for rollout in rollouts], dtype=torch.int64)
    return TokenBatch(
        tokens=_concatenate([rollout.token_ids for rollout in rollouts]).long(),
        rollout=torch.arange(len(rollouts)).repeat_interleave(lengths),
        own=_concatenate([rollout.own for rollout in rollouts]).bool(),
        behaviour_logprobs=_concatenate([rollout.logprobs for rollout in rollouts]).float(),
        group=torch.tensor([target.group for target in targets], dtype=torch.int64),
        reward=torch.tensor([verdict.reward for verdict in verdicts], dtype=torch.float32),
        known=torch.tensor([verdict.status != "unknown" for verdict in verdicts], dtype=torch.bool),
        has_context=torch.tensor([target.teacher_prompt is not None for target in targets], dtype=torch.bool),
    )


def _concatenate(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays)) if arrays else torch.zeros(0)


def micro_batches(batch: StepBatch, mask: Tensor, distilled: Tensor, budget: int) -> Iterator[MicroBatch]:
    """Cut a step into passes of at most `budget` tokens, or a target each, groups kept together where they fit.

    mask: [n] bool, the tokens to evaluate. distilled: [n] bool, those of them that the teacher has to score.
    """
    chosen = [target for target in batch.targets if bool(mask[target.span].any())]
    for members in _cut(chosen, budget):
        yield _micro_batch(members, mask, distilled)


def _cut(targets: Sequence[Target], budget: int) -> Iterator[list[Target]]:
    members: list[Target] = []
    used = 0
    for _, of_group in groupby(targets, key=attrgetter("group")):
        group = _by_context(of_group)
        whole = sum(_cost(target, previous) for previous, target in pairwise([None, *group]) if target)
        if members and used + whole > budget:
            yield members
            members, used = [], 0
        for target in group:
            cost = _cost(target, members[-1] if members else None)
            if members and used + cost > budget:
                yield members
                members, used = [], 0
                cost = _cost(target, None)
            members.append(target)
            used += cost
    if members:
        yield members


def _by_context(targets: Iterable[Target]) -> list[Target]:
    """Targets with one teacher's prompt side by side, in the order in which the prompts first appear."""
    first: dict[bytes, int] = {}
    prompts = (
        (target, b"" if target.teacher_prompt is None else target.teacher_prompt.tobytes()) for target in targets
    )
    placed = [(first.setdefault(prompt, len(first)), target) for target, prompt in prompts]
    return [target for _, target in sorted(placed, key=itemgetter(0))]


def _cost(target: Target, previous: Target | None) -> int:
    """Tokens that a target adds after its neighbour at most: all but `MIN_SHARED - 1` tokens of a common prompt go."""
    cost = 0
    for prompt, other in (
        (target.prompt, previous.prompt if previous else None),
        (target.teacher_prompt, previous.teacher_prompt if previous else None),
    ):
        if prompt is not None:
            shared = 0 if other is None else common_prefix(prompt, other)
            cost += len(prompt) - max(0, shared - MIN_SHARED + 1) + len(target.response)
    return cost


def _micro_batch(members: Sequence[Target], mask: Tensor, distilled: Tensor) -> MicroBatch:
    student = lay_out([_inputs(target.prompt, target.response) for target in members])
    taught = [
        (position, target.teacher_prompt, target)
        for position, target in enumerate(members)
        if target.teacher_prompt is not None and bool((mask & distilled)[target.span].any())
    ]
    teacher = lay_out([_inputs(prompt, target.response) for _, prompt, target in taught]) if taught else None
    with_teacher: list[tuple[Tensor, Tensor, Tensor]] = []
    without: list[tuple[Tensor, Tensor]] = []
    teacher_rows = {position: (row, len(prompt)) for row, (position, prompt, _) in enumerate(taught)}
    for position, target in enumerate(members):
        places = torch.arange(target.span.start, target.span.stop)
        rows = student.rows[position][len(target.prompt) - 1 :]
        here, scored = mask[target.span], mask[target.span] & distilled[target.span]
        if teacher is not None and position in teacher_rows:
            row, length = teacher_rows[position]
            with_teacher.append((places[scored], rows[scored], teacher.rows[row][length - 1 :][scored]))
        without.append((places[here & ~scored], rows[here & ~scored]))
    empty = torch.zeros(0, dtype=torch.int64)
    return MicroBatch(
        student,
        teacher,
        tokens=torch.cat([empty, *(part[0] for part in with_teacher), *(part[0] for part in without)]),
        student_rows=torch.cat([empty, *(part[1] for part in with_teacher), *(part[1] for part in without)]),
        teacher_rows=torch.cat([empty, *(part[2] for part in with_teacher)]),
        n_distilled=sum(len(part[0]) for part in with_teacher),
    )


def _inputs(prompt: Ids, response: Ids) -> Ids:
    return np.concatenate([prompt, response[:-1]])
