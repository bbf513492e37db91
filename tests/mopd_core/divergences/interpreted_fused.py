"""The fused kernel equals `TokenLoss`; run by `test_fused.py` in a process where Triton interprets kernels."""

from __future__ import annotations

import math
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.forward_kl import ForwardKL
from mopd_core.divergences.fused import FasterWay
from mopd_core.divergences.fused_kernel import KernelOptions, fused_loss
from mopd_core.divergences.head import HeadLoss
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.divergences.token_loss import Side, TokenLoss
from mopd_core.divergences.tokens import HeadTokens, TokenStats
from mopd_core.output_head import Head

DIVERGENCES = {
    "jsd": JSD(0.5),
    "jsd-0.1": JSD(0.1),
    "jsd-0.9": JSD(0.9),
    "forward-kl": ForwardKL(),
    "reverse-kl": ReverseKL(),
}
TEMPERATURES = {"plain": (1.0, 1.0), "hot outcomes": (1.7, 1.0), "cold sampling": (1.0, 0.6), "both": (0.7, 1.3)}
N, V, BLOCK, COUNT = 4, 75, 32, 7.0

pytestmark = [
    pytest.mark.parametrize("name", DIVERGENCES),
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),  # NumPy, of -inf and NaN that are planted
]


def draw_tokens(count, vocabulary):
    draw = torch.Generator().manual_seed(1)
    return HeadTokens(
        torch.arange(count),
        torch.arange(count),
        torch.randint(vocabulary, (count,), generator=draw),
        torch.randn(count, generator=draw),
        torch.rand(count, generator=draw),
    )


def draw_logits(count=N, vocabulary=V, scale=3.0, dtype=torch.float32):
    draws = torch.randn(2, count, vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    return (draws * scale).to(dtype).unbind()


def both(name, student, teacher, temperatures=(1.0, 1.0), tokens=None):
    """Stats and slope [n, V] in fp32 of the kernel, which overwrites the logits, and of the ordinary path."""
    divergence, tokens = DIVERGENCES[name], tokens or draw_tokens(*student.shape)
    outcomes = Outcomes(DivergenceConfig(temperature=temperatures[0]))
    loss = TokenLoss(divergence, outcomes, temperatures[1], name)
    expected = loss(Side(student), Side(teacher), tokens, COUNT)
    options = KernelOptions(divergence.fused, getattr(divergence, "weight", 0.5), *temperatures)
    slope = student.clone()
    found = fused_loss(slope, slope, teacher, tokens, COUNT, options, BLOCK)
    return (found, slope.float()), (expected[0], expected[1].to(slope.dtype).float())


def assert_equal(found, expected, tolerance=2e-6):
    (stats, slope), (other_stats, other_slope) = found, expected
    for field in fields(TokenStats):
        one, other = getattr(stats, field.name), getattr(other_stats, field.name)
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance, equal_nan=True, msg=field.name)
    torch.testing.assert_close(slope, other_slope, rtol=tolerance, atol=tolerance / COUNT, equal_nan=True)


@pytest.mark.parametrize("temperatures", TEMPERATURES)
def test_equals_the_ordinary_path(name, temperatures):
    found, expected = both(name, *draw_logits(), TEMPERATURES[temperatures])
    assert expected[1].abs().max() > 0.01
    assert_equal(found, expected)


@pytest.mark.parametrize("vocabulary", [2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_any_vocabulary(name, vocabulary):
    assert_equal(*both(name, *draw_logits(1, vocabulary)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_and_written(name, dtype):
    """The slope is rounded once, to the logits' own type: at most the last bit differs."""
    assert_equal(*both(name, *draw_logits(dtype=dtype)), tolerance=torch.finfo(dtype).eps)


def test_large_logits(name):
    """Around 1e4 an fp32 has steps of 1e-3; what is left of them after the largest is taken off is exact."""
    student, teacher = draw_logits()
    found, expected = both(name, student * 1e4 / 3, teacher * 1e4 / 3)
    assert expected[0].divergence.isfinite().all()
    assert_equal(found, expected)
    shifted = both(name, student.bfloat16().float() + 2**14, teacher.bfloat16().float() - 2**14)
    assert_equal(*shifted)


@pytest.mark.parametrize("side", ["student", "teacher", "both"])
def test_tokens_that_are_ruled_out(name, side):
    """The same infinities and the same zeros; a whole block of them comes first."""
    student, teacher = draw_logits()
    tokens = draw_tokens(N, V)
    tokens.targets.fill_(V - 1)
    for logits, is_it in ((student, side != "teacher"), (teacher, side != "student")):
        if is_it:
            logits[:, : BLOCK + 3] = -math.inf
    found, expected = both(name, student, teacher, tokens=tokens)
    assert_equal(found, expected)
    is_infinite = (name, side) in {("forward-kl", "student"), ("reverse-kl", "teacher")}
    assert found[0].divergence.isinf().tolist() == [is_infinite] * N


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_a_number_comes_out(name, side, bad):
    """In its own row alone."""
    logits = draw_logits()
    logits[side][1, 40] = bad
    found, expected = both(name, *logits)
    assert_equal(found, expected)
    assert found[0].divergence.isnan().tolist() == [row == 1 for row in range(N)]


def test_equal_sides_are_at_zero(name):
    student, _ = draw_logits()
    tokens = draw_tokens(N, V)
    tokens.logprob_weights.zero_()
    (stats, slope), _ = both(name, student, student.clone(), tokens=tokens)
    assert stats.divergence.abs().max() < 1e-6
    assert slope.abs().max() < 1e-7


class Given:
    def __init__(self, logits):
        self.all = logits

    def logits(self, rows):
        return self.all[rows]


class Unknown(nn.Linear):
    """A class that the head goes through autograd for."""


@pytest.mark.parametrize("kind", [nn.Linear, Unknown])
def test_the_head_takes_it(name, kind):
    """Chunk after chunk, for a plain head and through autograd: loss, stats and gradients are those of tiles."""
    torch.manual_seed(0)
    linear, hidden, teacher = kind(6, V), torch.randn(9, 6), Given(torch.randn(9, V) * 2)
    head = Head(SimpleNamespace(config=SimpleNamespace(), get_output_embeddings=lambda: linear))
    results = []
    for is_fused in (True, False):
        loss = HeadLoss(head, DIVERGENCES[name], Outcomes(DivergenceConfig()), 0.8, 4, way=FasterWay(is_fused))
        leaf = hidden.clone().requires_grad_()
        value, stats = loss(leaf, draw_tokens(9, V), teacher, COUNT)
        gradients = torch.autograd.grad(value, [leaf, *linear.parameters()])
        results.append((value, *(getattr(stats, field.name) for field in fields(stats)), *gradients))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_measurement_changes_nothing(name):
    """The first chunk is computed several times over, both ways, and counts once."""
    torch.manual_seed(0)
    linear, hidden, teacher = nn.Linear(6, V), torch.randn(5, 6), Given(torch.randn(5, V))
    head = Head(SimpleNamespace(config=SimpleNamespace(), get_output_embeddings=lambda: linear))
    results = []
    for way in (FasterWay(), FasterWay(False)):
        loss = HeadLoss(head, DIVERGENCES[name], Outcomes(DivergenceConfig()), 1.0, 3, way=way)
        leaf = hidden.clone().requires_grad_()
        value, _ = loss(leaf, draw_tokens(5, V), teacher, COUNT)
        results.append((value, *torch.autograd.grad(value, [leaf, *linear.parameters()])))
        assert way.is_fused is False
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
