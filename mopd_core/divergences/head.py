"""The chunked head: from hidden states to the loss and its gradients, with logits of only a chunk of tokens at a time.

Works for every registered divergence: through its closed form where it has one, and else through autograd within a
chunk. The loss is the sum over tokens of w_t log p(y_t) + d_t D_t, over `count`: each objective is two weights a token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mopd_core.boundary import plugin_boundary
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.errors import PluginError
from mopd_core.interfaces import Divergence, TeacherPass
from mopd_core.training.models import Head

CHUNK_COPIES = 8
"""About how many [chunk, V] fp32 tensors live at once while a chunk is evaluated."""


@dataclass(frozen=True, slots=True)
class HeadTokens:
    """The m tokens of one evaluation of the head.

    rows, teacher_rows: [m] int64, the flat rows that predict them. targets: [m] int64, sampled ids. logprob_weights,
    divergence_weights: [m] float32, w and d. Without a teacher, `teacher_rows` is None and d is not read.
    """

    rows: Tensor
    teacher_rows: Tensor | None
    targets: Tensor
    logprob_weights: Tensor
    divergence_weights: Tensor


@dataclass(frozen=True, slots=True)
class TokenStats:
    """Per-token values without gradient, [m] float32, nats: log p(y) and log q(y) at the sampling temperature, the
    divergence, and the student's entropy (temperature 1). Without a teacher, log q and the divergence are NaN.
    """

    logprobs: Tensor
    teacher_logprobs: Tensor
    divergence: Tensor
    entropy: Tensor


@dataclass(frozen=True, slots=True)
class HeadLoss:
    """Everything that stays the same over a step: the head, what is compared, and how."""

    head: Head
    divergence: Divergence
    outcomes: Outcomes
    sampling_temperature: float
    chunk_tokens: int
    divergence_name: str = "divergence"

    def __call__(
        self, hidden: Tensor, tokens: HeadTokens, teacher: TeacherPass | None, count: float
    ) -> tuple[Tensor, TokenStats]:
        """hidden: [n, D], with gradient. Returns the scalar loss, with gradient, and the tokens' stats."""
        stats: list[TokenStats] = []
        parameters = self.head.parameters()

        def evaluate(chunk: Tensor, part: slice) -> tuple[Tensor, tuple[Tensor, ...]]:
            value, gradients, chunk_stats = self._chunk(chunk, _part(tokens, part), teacher, count, parameters)
            stats.append(chunk_stats)
            return value, gradients

        run: Any = _Chunked.apply
        loss: Tensor = run(hidden[tokens.rows], evaluate, self.chunk_tokens, *parameters)
        return loss, _join(stats)

    @torch.no_grad()
    def score(self, hidden: Tensor, tokens: HeadTokens, teacher: TeacherPass | None) -> TokenStats:
        """The tokens' log-probabilities alone, without gradient and without the divergence."""
        stats = []
        for start in range(0, len(tokens.rows), self.chunk_tokens):
            part = _part(tokens, slice(start, start + self.chunk_tokens))
            logits = _at_least_fp32(self.head(hidden[part.rows]))
            teacher_logits = _teacher_logits(teacher, part, logits.shape[-1])
            stats.append(self._stats(logits, teacher_logits, part, torch.full_like(part.logprob_weights, torch.nan)))
        return _join(stats)

    def _chunk(
        self, hidden: Tensor, tokens: HeadTokens, teacher: TeacherPass | None, count: float, parameters: list[Any]
    ) -> tuple[Tensor, tuple[Tensor, ...], TokenStats]:
        """Loss of one chunk, its gradients with respect to the chunk's hidden states and the head, and stats."""
        with torch.enable_grad():
            hidden = hidden.detach().requires_grad_()
            logits = self.head(hidden)
            leaf = _at_least_fp32(logits.detach()).requires_grad_()
            teacher_logits = _teacher_logits(teacher, tokens, logits.shape[-1])
            outputs, upstream = [], []
            value = leaf.new_zeros(())
            divergence = torch.full_like(tokens.logprob_weights, torch.nan)
            if teacher_logits is not None:
                log_p, log_q = self.outcomes(leaf, teacher_logits)
                with plugin_boundary(self.divergence_name):
                    divergence, slope = _value_and_grad(self.divergence, log_p, log_q)
                _check_shapes(self.divergence_name, divergence, slope, log_p)
                weights = tokens.divergence_weights.to(leaf.dtype) / count
                value = value + (weights * divergence).sum()
                outputs.append(log_p)
                upstream.append(slope * weights[:, None])
            if bool(tokens.logprob_weights.any()):
                chosen = _sampled(leaf, tokens.targets, self.sampling_temperature)
                weights = tokens.logprob_weights.to(leaf.dtype) / count
                value = value + (weights * chosen.detach()).sum()
                outputs.append(chosen)
                upstream.append(weights)
            if outputs:
                (slope_of_logits,) = torch.autograd.grad(outputs, leaf, upstream)
                gradients = torch.autograd.grad(logits, [hidden, *parameters], slope_of_logits.to(logits.dtype))
            else:
                gradients = tuple(torch.zeros_like(tensor) for tensor in (hidden, *parameters))
        with torch.no_grad():
            stats = self._stats(leaf.detach(), teacher_logits, tokens, divergence)
        return value.detach(), gradients, stats

    def _stats(
        self, logits: Tensor, teacher_logits: Tensor | None, tokens: HeadTokens, divergence: Tensor
    ) -> TokenStats:
        logprobs = _sampled(logits, tokens.targets, self.sampling_temperature)
        log_p = logits.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).nan_to_num_(0.0).sum(-1)
        if teacher_logits is None:
            return TokenStats(logprobs, torch.full_like(logprobs, torch.nan), divergence, entropy)
        teacher_logprobs = _sampled(teacher_logits, tokens.targets, self.sampling_temperature)
        return TokenStats(logprobs, teacher_logprobs, divergence, entropy)


class _Chunked(torch.autograd.Function):
    """Runs `evaluate` over chunks of rows [m, D] in the forward pass and keeps only the gradients for the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        evaluate: Callable[[Tensor, slice], tuple[Tensor, tuple[Tensor, ...]]],
        chunk_tokens: int,
        *parameters: Tensor,
    ) -> Tensor:
        total = _at_least_fp32(rows.new_zeros(()))
        of_rows = torch.empty_like(rows)
        of_parameters = [torch.zeros_like(parameter) for parameter in parameters]
        for start in range(0, len(rows), chunk_tokens):
            part = slice(start, start + chunk_tokens)
            value, (of_chunk, *of_head) = evaluate(rows[part], part)
            total += value
            of_rows[part] = of_chunk
            for sum_, gradient in zip(of_parameters, of_head, strict=True):
                sum_ += gradient
        ctx.save_for_backward(of_rows, *of_parameters)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        of_rows, *of_parameters = ctx.saved_tensors
        return (of_rows * upstream, None, None, *(gradient * upstream for gradient in of_parameters))


def _value_and_grad(divergence: Divergence, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """D [n] and its derivative [n, M] with respect to log_p, in closed form where there is one."""
    closed = getattr(divergence, "value_and_grad", None)
    if closed is not None:
        with torch.no_grad():
            value, slope = closed(log_p.detach(), log_q)
        return value, slope
    free = log_p.detach().requires_grad_()
    value = divergence(free, log_q)
    (slope,) = torch.autograd.grad(value.sum(), free)
    return value.detach(), slope


def _check_shapes(who: str, value: Tensor, slope: Tensor, log_p: Tensor) -> None:
    found, wanted = (tuple(value.shape), tuple(slope.shape)), (tuple(log_p.shape[:1]), tuple(log_p.shape))
    if found != wanted:
        raise PluginError(f"{who} returned shapes {found} for its value and derivative; they have to be {wanted}")


def _sampled(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """log p(y) [n] of the sampled tokens at the sampling temperature."""
    scaled = logits if temperature == 1.0 else logits / temperature
    return scaled.gather(-1, targets[:, None]).squeeze(-1) - scaled.logsumexp(-1)


def _at_least_fp32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _teacher_logits(teacher: TeacherPass | None, tokens: HeadTokens, vocabulary: int) -> Tensor | None:
    if teacher is None or tokens.teacher_rows is None:
        return None
    with plugin_boundary("the teacher"):
        logits = teacher.logits(tokens.teacher_rows)
    wanted = (len(tokens.teacher_rows), vocabulary)
    if tuple(logits.shape) != wanted:
        raise PluginError(f"the teacher returned logits of shape {tuple(logits.shape)}; they have to be {wanted}")
    return _at_least_fp32(logits)


def _part(tokens: HeadTokens, part: slice) -> HeadTokens:
    return HeadTokens(
        tokens.rows[part],
        None if tokens.teacher_rows is None else tokens.teacher_rows[part],
        tokens.targets[part],
        tokens.logprob_weights[part],
        tokens.divergence_weights[part],
    )


def _join(stats: list[TokenStats]) -> TokenStats:
    return TokenStats(
        torch.cat([part.logprobs for part in stats]),
        torch.cat([part.teacher_logprobs for part in stats]),
        torch.cat([part.divergence for part in stats]),
        torch.cat([part.entropy for part in stats]),
    )


def chunk_size(vocabulary: int, memory_mib: int) -> int:
    """Tokens a chunk so that its logits and their companions stay within `memory_mib`."""
    return max(1, memory_mib * 2**20 // (4 * CHUNK_COPIES * vocabulary))
