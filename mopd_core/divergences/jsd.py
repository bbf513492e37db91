"""Generalised Jensen-Shannon divergence (docs/method.md section 3), the paper's default."""

from __future__ import annotations

import torch
from torch import Tensor

from mopd_core.divergences.closed_form import ClosedForm


class JSD(ClosedForm):
    """(1 - w) KL(p || m) + w KL(q || m) with m = (1 - w) p + w q, nats; never above the entropy of (w, 1 - w).

    For w in (0, 1). It tends to 0 as w tends to 0 or 1, so neither KL is a member of the family.
    """

    fused = "jsd"

    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative is (1 - w) p ln(p / m)."""
        p, q = log_p.exp(), log_q.exp()
        log_m = torch.lerp(p, q, self.weight).clamp_(min=torch.finfo(p.dtype).tiny).log_()
        of_student = _weigh(p, log_p - log_m)
        of_teacher = _weigh(q, torch.sub(log_q, log_m, out=log_m))
        grad = of_student.mul_(1.0 - self.weight)
        return of_teacher.sum(-1).mul_(self.weight).add_(grad.sum(-1)).clamp_(min=0.0), grad


def _weigh(probs: Tensor, log_ratio: Tensor) -> Tensor:
    """Their product, in place of the ratio [n, M]; 0 where both are 0 and the ratio is -inf. It is at most finite."""
    return log_ratio.clamp_(min=torch.finfo(log_ratio.dtype).min).mul_(probs)
