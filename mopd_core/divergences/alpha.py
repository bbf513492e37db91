"""Rényi's divergences: a family of one parameter that passes through KL at order 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mopd_core.divergences.closed_form import ClosedForm
from mopd_core.divergences.config import Direction


class Renyi(ClosedForm):
    """ln(sum a^r b^(1 - r)) / (r - 1), nats, for an order r > 0 other than 1.

    direction `reverse`: a is the student's p and b the teacher's q; `forward`: the other way round. Below order 1 it is
    infinite only where p and q share no outcome; above, wherever a has mass and b has none. There the derivative has no
    value (NaN). Rounding of the logarithm is divided by r - 1, so orders near 1 lose digits.
    """

    def __init__(self, order: float = 0.5, direction: Direction = "reverse") -> None:
        self.order = order
        self.direction = direction

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """With c the power of p (r or 1 - r), the derivative is c / (r - 1) times the softmax of ln(a^r b^(1 - r))."""
        reverse = self.direction == "reverse"
        log_a, log_b = (log_p, log_q) if reverse else (log_q, log_p)
        excess = self.order - 1.0
        terms = torch.mul(log_a, self.order).sub_(log_b, alpha=excess).masked_fill_(log_a == -math.inf, -math.inf)
        log_sum = terms.logsumexp(-1)
        grad = terms.sub_(log_sum.unsqueeze(-1)).exp_().mul_(self.order / excess if reverse else -1.0)
        return log_sum.div_(excess).clamp_(min=0.0), grad
