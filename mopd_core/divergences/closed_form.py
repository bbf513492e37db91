"""The base of divergences that know their own derivative, and the two expressions that most of them are made of.

The contract of every built-in `value_and_grad`: inputs are never written to. An outcome of probability 0 contributes
nothing (0 ln 0 = 0), so -inf on either side makes no NaN; NaN that comes in goes out, so the loop sees a broken forward
pass. The value is clamped to >= 0 apart from the derivative, so rounding below 0 loses no gradient. At most four
tensors of [n, M] are alive at once, beside the inputs: M may be a whole vocabulary.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ValueAndGrad = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class ClosedForm(ABC):
    """A divergence that is defined by its value and its derivative together."""

    @abstractmethod
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """log_p, log_q: [n, M], nats. Returns the value [n] and its derivative by log_p [n, M], all entries free."""

    def __call__(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """The value [n] alone, nats; differentiable once with respect to log_p. The teacher's log_q is data."""
        value: Tensor = cast("Any", _Differentiable).apply(log_p, log_q, self.value_and_grad)
        return value


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_p: Tensor, log_q: Tensor, value_and_grad: ValueAndGrad) -> Tensor:
        value, grad = value_and_grad(log_p, log_q)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(grad)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * upstream.unsqueeze(-1), None, None


def weighted_log_ratio(log_a: Tensor, log_b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The terms a ln(a / b) of KL(a || b), [n, M]; 0 where a is 0. `out` may be log_b if it has no further use."""
    terms = torch.sub(log_a, log_b, out=out)
    weight = log_a.exp()
    return terms.mul_(weight).masked_fill_(weight == 0, 0.0)


def log_mixture(log_a: Tensor, log_b: Tensor, share: float) -> Tensor:
    """ln(share a + (1 - share) b), [n, M], for a share in (0, 1)."""
    mixture = log_a + math.log(share)
    return torch.logaddexp(mixture, log_b + math.log1p(-share), out=mixture)
