"""Which rank computes what of a step: targets are dealt out by tokens, in one run each, so that groups stay whole.

Where weights are split over ranks, every pass is joint: all ranks take equally many turns, each with the same parts. A
rank with nothing left takes a turn with tokens that have no weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mopd_core.training.batch import MicroBatch, StepBatch, Target, evaluated_targets, micro_batches
from mopd_core.training.layout import Ids, common_prefix
from mopd_core.training.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Turn:
    """One pass of this rank. `counts`: whether it is part of the step, or only keeps the other ranks company."""

    micro: MicroBatch
    counts: bool = True


def own_turns(
    batch: StepBatch, mask: Tensor, distilled: Tensor, budget: int, ranks: Ranks, shares: bool = True
) -> Iterator[Turn]:
    """This rank's share of the micro-batches that `batch.micro_batches` would cut."""
    mine = mask & own_share(batch, mask, ranks)
    return (Turn(micro) for micro in micro_batches(batch, mine, distilled, budget, shares))


def joint_turns(
    batch: StepBatch, mask: Tensor, distilled: Tensor, budget: int, ranks: Ranks, shares: bool = True
) -> Iterator[Turn]:
    """As `own_turns`, filled up so that every rank passes through student and teacher equally often. Collective."""
    turns = list(own_turns(batch, mask, distilled, budget, ranks, shares))
    plans = ranks.gather([turn.micro.teacher is not None for turn in turns])
    for number in range(max(map(len, plans))):
        turn = turns[number] if number < len(turns) else Turn(_company(batch, mask), counts=False)
        taught = any(plan[number] for plan in plans if number < len(plan))
        yield _with_teacher(turn) if taught else turn


def own_share(batch: StepBatch, mask: Tensor, ranks: Ranks) -> Tensor:
    """[n] bool: the tokens of the targets that this rank computes; the ranks' shares part the step's tokens."""
    share = torch.full_like(mask, ranks.count == 1)
    if ranks.count == 1:
        return share
    chosen = evaluated_targets(batch, mask)
    for target, rank in zip(chosen, _deal(_costs(chosen), ranks.count), strict=True):
        share[target.span] = rank == ranks.number
    return share


def _deal(costs: Sequence[int], count: int) -> list[int]:
    """The rank of each item, ascending: an item is where its middle falls when all costs are cut into equal parts."""
    total = sum(costs)
    dealt, before = [], 0
    for cost in costs:
        dealt.append(min(count - 1, (2 * before + cost) * count // (2 * total)))
        before += cost
    return dealt


def _costs(targets: Sequence[Target]) -> list[int]:
    """About how many tokens each target adds to those before it: what prompts share with the last one is not new."""
    costs = []
    prompt = teacher_prompt = None
    for target in targets:
        cost = len(target.response) + _new(target.prompt, prompt)
        if target.teacher_prompt is not None:
            cost += len(target.response) + _new(target.teacher_prompt, teacher_prompt)
        costs.append(cost)
        prompt, teacher_prompt = target.prompt, target.teacher_prompt
    return costs


def _new(prompt: Ids, last: Ids | None) -> int:
    return len(prompt) - (0 if last is None else common_prefix(prompt, last))


def _company(batch: StepBatch, mask: Tensor) -> MicroBatch:
    """The student's pass over the cheapest target, for a rank that has nothing to compute."""
    cheapest = min(evaluated_targets(batch, mask), key=lambda target: len(target.prompt) + len(target.response))
    alone = torch.zeros_like(mask)
    alone[cheapest.span] = mask[cheapest.span]
    return next(micro_batches(batch, alone, torch.zeros_like(mask), 1))


def _with_teacher(turn: Turn) -> Turn:
    """With something for the teacher to read, if only to keep step: its logits are not asked for."""
    if turn.micro.teacher is not None:
        return turn
    return replace(turn, micro=replace(turn.micro, teacher=turn.micro.student))
