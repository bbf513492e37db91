"""The fused kernel on a GPU: the ordinary path's values, stats and slopes, and the choice between the two."""

from __future__ import annotations

import math
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.forward_kl import ForwardKL
from mopd_core.divergences.fused import FasterWay, kernels
from mopd_core.divergences.head import HeadLoss
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.divergences.token_loss import Side, TokenLoss
from mopd_core.divergences.tokens import HeadTokens, TokenStats
from mopd_core.output_head import Head
from mopd_core.training.models import autocast

DIVERGENCES = {"jsd": JSD(0.3), "forward-kl": ForwardKL(), "reverse-kl": ReverseKL()}
COUNT = 7.0


def draw_tokens(count, vocabulary):
    rows = torch.arange(count)
    targets = torch.randint(vocabulary, (count,))
    tokens = HeadTokens(rows, rows, targets, torch.randn(count), torch.rand(count))
    return HeadTokens(*(getattr(tokens, field.name).cuda() for field in fields(tokens)))


def check(name, student, teacher, temperatures=(1.0, 1.0)):
    """In fp32 to 1e-5; in half precision the stats to that too, and the slope to its own rounding."""
    tokens = draw_tokens(*student.shape)
    outcomes = Outcomes(DivergenceConfig(temperature=temperatures[0]))
    expected, slope = TokenLoss(DIVERGENCES[name], outcomes, temperatures[1], name)(
        Side(student), Side(teacher), tokens, COUNT
    )
    options = kernels().KernelOptions(name, getattr(DIVERGENCES[name], "weight", 0.5), *temperatures)
    found = student.clone()
    stats = kernels().fused_loss(found, found, teacher, tokens, COUNT, options)
    for field in fields(TokenStats):
        one, other = getattr(stats, field.name), getattr(expected, field.name)
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, equal_nan=True, msg=field.name)
    tolerance = max(1e-5, torch.finfo(student.dtype).eps)
    torch.testing.assert_close(found, slope.to(found.dtype), rtol=tolerance, atol=1e-6, equal_nan=True)
    return stats


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.7, 1.3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("vocabulary", [77, 151_936])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_equals_the_ordinary_path(name, vocabulary, dtype, temperatures):
    student = (torch.randn(37, vocabulary, device="cuda") * 3).to(dtype)
    teacher = (student.float() + torch.randn(37, vocabulary, device="cuda")).to(dtype)
    check(name, student, teacher, temperatures)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_what_is_ruled_out_and_what_is_not_a_number(name):
    student, teacher = torch.randn(2, 5, 5000, device="cuda").mul_(1e4).unbind()
    student[1, :4000] = teacher[1, :4000] = -math.inf
    teacher[2, 7] = math.nan
    student[3, 4999] = math.nan
    stats = check(name, student, teacher)
    assert stats.divergence.isnan().tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_head_measures_and_takes_the_faster(name, dtype):
    linear = nn.Linear(64, 5003).cuda()
    head = Head(SimpleNamespace(config=SimpleNamespace(), get_output_embeddings=lambda: linear))
    hidden, logits = torch.randn(200, 64, device="cuda"), torch.randn(200, 5003, device="cuda")
    tokens, results = draw_tokens(200, 5003), []
    for way in (FasterWay(True), FasterWay(False), FasterWay()):
        loss = HeadLoss(head, DIVERGENCES[name], Outcomes(DivergenceConfig()), 0.8, 64, way=way)
        leaf = hidden.clone().requires_grad_()
        with autocast(torch.device("cuda"), dtype):
            value, stats = loss(leaf, tokens, SimpleNamespace(logits=lambda rows: logits[rows].to(dtype)), COUNT)
        gradients = torch.autograd.grad(value, [leaf, *linear.parameters()])
        results.append((value, *(getattr(stats, field.name) for field in fields(stats)), *gradients))
        assert way.is_fused is not None
    for one, other, chosen in zip(*results, strict=True):
        scale = max(1e-4, torch.finfo(dtype).eps) * other.abs().max()
        assert (one - other).abs().max() <= scale
        assert (chosen - other).abs().max() <= scale
