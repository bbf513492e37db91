"""Reverse KL, KL(p || q): the student p is penalised for doing what the teacher q does not."""

from __future__ import annotations

import torch
from torch import Tensor

from mopd_core.divergences.closed_form import ClosedForm, weighted_log_ratio


class ReverseKL(ClosedForm):
    """sum p (ln p - ln q), nats; infinite, as is its derivative, where the student gives mass and the teacher none."""

    fused = "reverse-kl"

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative is p (ln(p / q) + 1)."""
        terms = weighted_log_ratio(log_p, log_q)
        value = terms.sum(-1).clamp_(min=0.0)
        return value, terms.add_(log_p.exp())
