"""Total variation: the largest difference that p and q can have about any set of outcomes."""

from __future__ import annotations

import torch
from torch import Tensor

from mopd_core.divergences.closed_form import ClosedForm


class TotalVariation(ClosedForm):
    """Half the sum of |p - q|, in [0, 1]. Where p equals q it has a kink, and 0 is the derivative taken there."""

    @torch.no_grad()
    def value_and_grad(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The derivative is p sign(p - q) / 2."""
        p = log_p.exp()
        difference = log_q.exp()
        torch.sub(p, difference, out=difference)
        grad = difference.sign().mul_(p).mul_(0.5)
        # Not torch.linalg.vector_norm: on CPU it sums naively, and is off by 1e-4 over a vocabulary in fp32.
        return difference.abs_().sum(-1).mul_(0.5), grad
