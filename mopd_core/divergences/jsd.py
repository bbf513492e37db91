"""Generalised Jensen-Shannon divergence (docs/method.md section 3), the paper's default."""

from __future__ import annotations

import torch
from torch import Tensor

from mopd_core.divergences.closed_form import ClosedForm, log_mixture, weighted_log_ratio


class JSD(ClosedForm):
    """(1 - w) KL(p || m) + w KL(q || m) with m = (1 - w) p + w q, nats; never above the entropy of (w, 1 - w).

    For w in (0, 1). It tends to 0 as w tends to 0 or 1, so neither KL is a member of the family.
    """

    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative is (1 - w) p ln(p / m)."""
        log_m = log_mixture(log_q, log_p, self.weight)
        grad = weighted_log_ratio(log_p, log_m).mul_(1.0 - self.weight)
        of_teacher = weighted_log_ratio(log_q, log_m, out=log_m).sum(-1)
        value = of_teacher.mul_(self.weight).add_(grad.sum(-1)).clamp_(min=0.0)
        return value, grad
