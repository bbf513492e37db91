"""The update: a step's batch in, changed weights and metrics out.

Scores if the objective asks for them, weights, then micro-batches: teacher pass, student pass, head, backward. The
sum over all of them, on all ranks, is divided by the step's one count, so cutting it differently changes nothing. Every
rank holds the whole step and computes its share of the micro-batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from mopd_core.boundary import plugin_boundary
from mopd_core.config.sections import TrainingConfig
from mopd_core.divergences.head import HeadLoss, HeadTokens
from mopd_core.errors import PluginError
from mopd_core.interfaces import Objective, Teacher, TeacherPass
from mopd_core.objectives.weights import TokenBatch, TokenScores, TokenWeights
from mopd_core.training.batch import MicroBatch, StepBatch
from mopd_core.training.gradients import clip, sum_gradients
from mopd_core.training.models import autocast, flat_hidden
from mopd_core.training.optimiser import set_lr
from mopd_core.training.ranks import ALONE, Ranks
from mopd_core.training.shards import rest
from mopd_core.training.token_values import TokenValues
from mopd_core.training.turns import Turn, joint_turns, own_turns

Outcome = Literal["trained", "nothing", "non-finite"]


@dataclass(frozen=True, slots=True)
class Update:
    """What came of a step. values: per-token tensors [n] float32, NaN where a token was not evaluated."""

    outcome: Outcome
    metrics: dict[str, float]
    values: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class PluginNames:
    """What to call the plugins in an error."""

    objective: str = "objective"
    teacher: str = "teacher"


@dataclass(slots=True)
class Learner:
    """Owns the student's optimiser; everything else is given. `teacher` is None where the objective uses none.

    is_sharded: the student's weights are split over the ranks, so that every pass is joint.
    """

    student: nn.Module
    teacher: Teacher | None
    objective: Objective
    loss: HeadLoss
    optimiser: torch.optim.Optimizer
    config: TrainingConfig
    device: torch.device
    dtype: torch.dtype
    names: PluginNames = PluginNames()
    ranks: Ranks = ALONE
    is_sharded: bool = False

    def learn(self, batch: StepBatch, lr: float) -> Update:
        """One optimiser step. With nothing to train on, or a loss or gradient that is not finite, weights stay.

        Collective: all ranks bring the same batch and come to the same update.
        """
        scores = self._score(batch) if self.objective.needs_scores else None
        with plugin_boundary(self.names.objective):
            weights = self.objective.weights(batch.tokens, scores)
        self._check(weights, batch.tokens)
        count = batch.tokens.total(weights.mask)
        weighted = weights.mask & ((weights.logprob != 0) | (weights.divergence != 0))
        values = TokenValues(len(batch.tokens.tokens))
        if not bool(weighted.any()):
            return Update("nothing", {"train/tokens": 0.0}, values.by_name)
        loss = self._backward(batch, weights, weighted, count, values)
        norm = clip(self.student, self.config.max_grad_norm)
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            set_lr(self.optimiser, lr)
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        metrics = {"train/loss": loss, "train/grad_norm": norm, "train/lr": lr, "train/tokens": count}
        metrics |= _token_metrics(batch.tokens, values)
        return Update("trained" if finite else "non-finite", metrics, values.by_name)

    def _check(self, weights: TokenWeights, tokens: TokenBatch) -> None:
        """Raise `PluginError` for weights that are not one a token, or that weigh a divergence which is not there."""
        n = len(tokens.tokens)
        for name in TokenWeights.__slots__:
            value: Tensor = getattr(weights, name)
            wanted = "bool" if name == "mask" else "floating-point"
            if tuple(value.shape) != (n,) or value.is_floating_point() != (name != "mask"):
                raise PluginError(
                    f"{self.names.objective} returned {name} of shape {tuple(value.shape)} and {value.dtype}; "
                    f"it has to be [{n}] and {wanted}, one a token"
                )
        taught = tokens.has_context[tokens.rollout] & (self.teacher is not None)
        if bool((weights.mask & ~taught & (weights.divergence != 0)).any()):
            raise PluginError(
                f"{self.names.objective} weighs the divergence of tokens that the teacher does not score; "
                "it has to be 0 where a target has no context, or uses_teacher has to be True"
            )

    def _backward(
        self, batch: StepBatch, weights: TokenWeights, weighted: Tensor, count: float, values: TokenValues
    ) -> float:
        """Accumulate the gradient over the micro-batches and fill in the tokens' values; the loss."""
        loss = torch.zeros((), dtype=torch.float64)
        evaluated = weights.mask & _any_in_rollout(weighted, batch.tokens)
        for turn in self._turns(batch, evaluated, weights.divergence != 0):
            micro = turn.micro
            with autocast(self.device, self.dtype):
                teacher = self._read(micro)
                hidden = flat_hidden(self.student, micro.student)
                parts = micro.head_tokens(batch.tokens, weights if turn.counts else _weightless(weights), self.device)
                results = [self.loss(hidden, part, _teacher_of(part, teacher), count) for part in parts]
            total = torch.stack([part_loss for part_loss, _ in results]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            if turn.counts:
                loss += total.item()
                values.store(micro, [stats for _, stats in results])
        if not self.is_sharded:
            sum_gradients(self.student, self.ranks)
        values.exchange(self.ranks)
        return self.ranks.sum(loss).item()

    @torch.no_grad()
    def _score(self, batch: StepBatch) -> TokenScores:
        """log p(y_t) now, and log q(y_t) of targets with a context if the objective uses the teacher."""
        n = len(batch.tokens.tokens)
        nothing = TokenWeights(torch.zeros(n), torch.zeros(n), batch.tokens.own)
        distilled = batch.tokens.has_context[batch.tokens.rollout] & (self.teacher is not None)
        values = TokenValues(n)
        for turn in self._turns(batch, batch.tokens.own, distilled):
            micro = turn.micro
            with autocast(self.device, self.dtype):
                teacher = self._read(micro)
                hidden = flat_hidden(self.student, micro.student)
                parts = micro.head_tokens(batch.tokens, nothing, self.device)
                stats = [self.loss.score(hidden, part, _teacher_of(part, teacher)) for part in parts]
            if turn.counts:
                values.store(micro, stats)
        values.exchange(self.ranks)
        return TokenScores(values["logprobs"], values["teacher_logprobs"])

    def _turns(self, batch: StepBatch, mask: Tensor, distilled: Tensor) -> Iterator[Turn]:
        """This rank's passes over the tokens of `mask` [n]; none where there is no such token."""
        if bool(mask.any()):
            turns = joint_turns if self.is_sharded else own_turns
            for turn in turns(batch, mask, distilled, self.config.micro_batch_tokens, self.ranks):
                yield Turn(turn.micro.to(self.device), turn.counts)
            rest(self.student)

    def _read(self, micro: MicroBatch) -> TeacherPass | None:
        if micro.teacher is None or self.teacher is None:
            return None
        with plugin_boundary(self.names.teacher):
            return self.teacher.read(micro.teacher)


def _teacher_of(part: HeadTokens, teacher: TeacherPass | None) -> TeacherPass | None:
    return teacher if part.teacher_rows is not None else None


def _weightless(weights: TokenWeights) -> TokenWeights:
    return replace(weights, logprob=torch.zeros_like(weights.logprob), divergence=torch.zeros_like(weights.divergence))


def _any_in_rollout(flag: Tensor, tokens: TokenBatch) -> Tensor:
    """[n]: whether any token of the same rollout is flagged."""
    found = torch.zeros(len(tokens.group), dtype=torch.bool)
    found[tokens.rollout[flag]] = True
    return found[tokens.rollout]


def _token_metrics(tokens: TokenBatch, values: TokenValues) -> dict[str, float]:
    """Means over the evaluated tokens, in nats."""
    seen = ~values["logprobs"].isnan()
    taught = ~values["divergence"].isnan()
    mismatch = (values["logprobs"] - tokens.behaviour_logprobs)[seen].abs()
    metrics = {}
    if bool(seen.any()):
        metrics["policy/entropy"] = values["entropy"][seen].mean().item()
        metrics["policy/mismatch_mean"] = mismatch.mean().item()
        metrics["policy/mismatch_max"] = mismatch.max().item()
    if bool(taught.any()):
        gain = values["teacher_logprobs"] - values["logprobs"]
        metrics["teacher/divergence"] = values["divergence"][taught].mean().item()
        metrics["teacher/gain"] = gain[taught].mean().item()
    return metrics
