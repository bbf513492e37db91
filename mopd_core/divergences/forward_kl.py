"""Forward KL, KL(q || p): the student p is penalised for missing what the teacher q does."""

from __future__ import annotations

import torch
from torch import Tensor

from mopd_core.divergences.closed_form import ClosedForm, weighted_log_ratio


class ForwardKL(ClosedForm):
    """sum q (ln q - ln p), nats; infinite where the teacher gives mass to an outcome that the student gives none."""

    fused = "forward-kl"

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative is -q."""
        value = weighted_log_ratio(log_q, log_p).sum(-1).clamp_(min=0.0)
        return value, log_q.exp().neg_()
