"""Skew KL: KL to a mixture of both sides, in the convention of DistiLLM (arXiv 2402.03898).

`skew` is the share that the first argument has in the mixture. Both directions stay below -ln skew, and their
derivatives stay bounded, whatever the distributions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mopd_core.divergences.closed_form import ClosedForm, log_mixture, weighted_log_ratio


class SkewForwardKL(ClosedForm):
    """KL(q || s q + (1 - s) p), nats, for s in (0, 1); tends to KL(q || p) as s tends to 0."""

    def __init__(self, skew: float = 0.1) -> None:
        self.skew = skew

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative is -q (1 - s) p / m."""
        log_m = log_mixture(log_q, log_p, self.skew)
        log_share = (log_p - log_m).add_(log_q).masked_fill_(log_m == -math.inf, -math.inf)
        grad = log_share.exp_().mul_(self.skew - 1.0)
        value = weighted_log_ratio(log_q, log_m, out=log_m).sum(-1).clamp_(min=0.0)
        return value, grad


class SkewReverseKL(ClosedForm):
    """KL(p || s p + (1 - s) q), nats, for s in (0, 1); tends to KL(p || q) as s tends to 0."""

    def __init__(self, skew: float = 0.1) -> None:
        self.skew = skew

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative is p (ln(p / m) + 1 - s p / m)."""
        log_ratio = log_mixture(log_p, log_q, self.skew)
        torch.sub(log_p, log_ratio, out=log_ratio)
        p = log_p.exp()
        log_ratio.masked_fill_(p == 0, 0.0)
        value = (log_ratio * p).sum(-1).clamp_(min=0.0)
        grad = log_ratio.exp().mul_(-self.skew).add_(log_ratio).add_(1.0).mul_(p)
        return value, grad
