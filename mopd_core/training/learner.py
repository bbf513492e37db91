"""The update: a step's batch in, changed weights and metrics out.

Scores if the objective asks for them, weights, then micro-batches: teacher pass, student pass, head, backward. The
sum over all of them is divided by the step's one count, so cutting it differently changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mopd_core.boundary import plugin_boundary
from mopd_core.config.sections import TrainingConfig
from mopd_core.divergences.head import HeadLoss, HeadTokens, TokenStats
from mopd_core.errors import PluginError
from mopd_core.interfaces import Objective, Teacher, TeacherPass
from mopd_core.objectives.weights import TokenBatch, TokenScores, TokenWeights
from mopd_core.training.batch import MicroBatch, StepBatch, micro_batches
from mopd_core.training.models import autocast, flat_hidden
from mopd_core.training.optimiser import set_lr

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
    """Owns the student's optimiser; everything else is given. `teacher` is None where the objective uses none."""

    student: nn.Module
    teacher: Teacher | None
    objective: Objective
    loss: HeadLoss
    optimiser: torch.optim.Optimizer
    config: TrainingConfig
    device: torch.device
    dtype: torch.dtype
    names: PluginNames = PluginNames()

    def learn(self, batch: StepBatch, lr: float) -> Update:
        """One optimiser step. With nothing to train on, or a loss or gradient that is not finite, weights stay."""
        scores = self._score(batch) if self.objective.needs_scores else None
        with plugin_boundary(self.names.objective):
            weights = self.objective.weights(batch.tokens, scores)
        self._check(weights, batch.tokens)
        count = batch.tokens.total(weights.mask)
        weighted = weights.mask & ((weights.logprob != 0) | (weights.divergence != 0))
        values = {name: torch.full_like(batch.tokens.behaviour_logprobs, math.nan) for name in TokenStats.__slots__}
        if not bool(weighted.any()):
            return Update("nothing", {"train/tokens": 0.0}, values)
        loss = self._backward(batch, weights, weighted, count, values)
        norm = float(nn.utils.clip_grad_norm_(self.student.parameters(), self.config.max_grad_norm))
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            set_lr(self.optimiser, lr)
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        metrics = {"train/loss": loss, "train/grad_norm": norm, "train/lr": lr, "train/tokens": count}
        return Update(
            "trained" if finite else "non-finite", metrics | _token_metrics(batch.tokens, weights, values), values
        )

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
        self, batch: StepBatch, weights: TokenWeights, weighted: Tensor, count: float, values: dict[str, Tensor]
    ) -> float:
        """Accumulate the gradient over the micro-batches and fill in the tokens' values; the loss."""
        loss = 0.0
        for micro in self._passes(
            batch, weights.mask & _any_in_rollout(weighted, batch.tokens), weights.divergence != 0
        ):
            with autocast(self.device, self.dtype):
                teacher = self._read(micro)
                hidden = flat_hidden(self.student, micro.student)
                parts = micro.head_tokens(batch.tokens, weights, self.device)
                results = [self.loss(hidden, part, _teacher_of(part, teacher), count) for part in parts]
            total = torch.stack([part_loss for part_loss, _ in results]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            loss += total.item()
            _store(values, micro, [stats for _, stats in results])
        return loss

    @torch.no_grad()
    def _score(self, batch: StepBatch) -> TokenScores:
        """log p(y_t) now, and log q(y_t) of targets with a context if the objective uses the teacher."""
        n = len(batch.tokens.tokens)
        nothing = TokenWeights(torch.zeros(n), torch.zeros(n), batch.tokens.own)
        distilled = batch.tokens.has_context[batch.tokens.rollout] & (self.teacher is not None)
        values = {name: torch.full((n,), math.nan) for name in TokenStats.__slots__}
        for micro in self._passes(batch, batch.tokens.own, distilled):
            with autocast(self.device, self.dtype):
                teacher = self._read(micro)
                hidden = flat_hidden(self.student, micro.student)
                parts = micro.head_tokens(batch.tokens, nothing, self.device)
                stats = [self.loss.score(hidden, part, _teacher_of(part, teacher)) for part in parts]
            _store(values, micro, stats)
        return TokenScores(values["logprobs"], values["teacher_logprobs"])

    def _passes(self, batch: StepBatch, mask: Tensor, distilled: Tensor) -> Iterator[MicroBatch]:
        for micro in micro_batches(batch, mask, distilled, self.config.micro_batch_tokens):
            yield micro.to(self.device)

    def _read(self, micro: MicroBatch) -> TeacherPass | None:
        if micro.teacher is None or self.teacher is None:
            return None
        with plugin_boundary(self.names.teacher):
            return self.teacher.read(micro.teacher)


def _teacher_of(part: HeadTokens, teacher: TeacherPass | None) -> TeacherPass | None:
    return teacher if part.teacher_rows is not None else None


def _any_in_rollout(flag: Tensor, tokens: TokenBatch) -> Tensor:
    """[n]: whether any token of the same rollout is flagged."""
    found = torch.zeros(len(tokens.group), dtype=torch.bool)
    found[tokens.rollout[flag]] = True
    return found[tokens.rollout]


def _store(values: dict[str, Tensor], micro: MicroBatch, stats: list[TokenStats]) -> None:
    for name, value in values.items():
        value[micro.tokens] = torch.cat([getattr(part, name) for part in stats]).float().cpu()


def _token_metrics(tokens: TokenBatch, weights: TokenWeights, values: dict[str, Tensor]) -> dict[str, float]:
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
