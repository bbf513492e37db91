"""A token without weight adds nothing to the derivative either, however far apart the two sides are there."""

from __future__ import annotations

import pytest
import torch

from mopd_core.divergences.config import ReverseKLConfig
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.divergences.token_loss import Side, TokenLoss
from mopd_core.divergences.tokens import HeadTokens


@pytest.mark.parametrize("options", [{}, {"top_k": 3}], ids=["all", "top-k"])
def test_an_infinite_divergence_without_weight(options):
    student, teacher = torch.tensor([[1.0, 0.5, -1.0, 0.0]] * 2), torch.tensor([[1.0, 0.5, -1.0, -torch.inf]] * 2)
    teacher[1, 3] = 0.0
    weights = torch.tensor([0.0, 2.0])
    rows = torch.arange(2)
    tokens = HeadTokens(rows, rows, torch.tensor([1, 2]), torch.ones(2), weights)
    loss = TokenLoss(ReverseKL(), Outcomes(ReverseKLConfig(**options)), 1.0, "reverse-kl")
    stats, slope = loss(Side(student), Side(teacher), tokens, 1.0)
    assert stats.divergence[0] == torch.inf
    assert slope.isfinite().all()
    assert slope[0] == pytest.approx(torch.nn.functional.one_hot(torch.tensor(1), 4) - student[0].softmax(-1), abs=1e-6)
