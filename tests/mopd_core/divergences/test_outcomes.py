"""From logits to outcomes: temperature, support, tail and renormalisation, and the gradient back to the logits.

By hand: the student's probabilities are (8, 4, 2, 1, 1) / 16, the teacher's (1, 1, 2, 3, 9) / 16.
"""

from __future__ import annotations

from math import inf, log

import pytest
import torch

from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.forward_kl import ForwardKL
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.divergences.reverse_kl import ReverseKL

STUDENT = torch.tensor([[8, 4, 2, 1, 1]], dtype=torch.float64).log() + 0.7
TEACHER = torch.tensor([[1, 1, 2, 3, 9]], dtype=torch.float64).log() - 1.3


def probabilities(**options):
    return [side.exp()[0].tolist() for side in Outcomes(DivergenceConfig(**options))(STUDENT, TEACHER)]


@pytest.mark.parametrize(
    ("options", "p", "q"),
    [
        ({}, [8 / 16, 4 / 16, 2 / 16, 1 / 16, 1 / 16], [1 / 16, 1 / 16, 2 / 16, 3 / 16, 9 / 16]),
        ({"top_k": 2}, [8 / 16, 4 / 16, 4 / 16], [1 / 16, 1 / 16, 14 / 16]),
        ({"top_k": 2, "support": "teacher"}, [1 / 16, 1 / 16, 14 / 16], [9 / 16, 3 / 16, 4 / 16]),
        ({"top_k": 2, "remainder": "renormalise"}, [2 / 3, 1 / 3], [1 / 2, 1 / 2]),
        ({"top_k": 2, "remainder": "renormalise", "support": "teacher"}, [1 / 2, 1 / 2], [3 / 4, 1 / 4]),
        # Temperature 1/2 squares the weights: (64, 16, 4, 1, 1) / 86 and (1, 1, 4, 9, 81) / 96.
        ({"top_k": 1, "temperature": 0.5}, [64 / 86, 22 / 86], [1 / 96, 95 / 96]),
    ],
)
def test_outcomes_by_hand(options, p, q):
    got_p, got_q = probabilities(**options)
    assert got_p == pytest.approx(p, rel=1e-13)
    assert got_q == pytest.approx(q, rel=1e-13)


@pytest.mark.parametrize("remainder", ["tail", "renormalise"])
@pytest.mark.parametrize("top_k", [5, 6, 1000])
def test_a_k_of_the_vocabulary_is_the_whole_of_it(top_k, remainder):
    whole = Outcomes(DivergenceConfig())(STUDENT, TEACHER)
    restricted = Outcomes(DivergenceConfig(top_k=top_k, remainder=remainder))(STUDENT, TEACHER)
    assert all(torch.equal(a, b) for a, b in zip(whole, restricted, strict=True))


def tail_by_autograd(logits, k):
    """The same outcomes for the k most likely tokens, out of differentiable pieces."""
    log_probs = logits.log_softmax(-1)
    order = logits.detach().argsort(dim=-1, descending=True)
    tail = log_probs.gather(-1, order[:, k:]).logsumexp(-1, keepdim=True)
    return torch.cat([log_probs.gather(-1, order[:, :k]), tail], dim=-1)


@pytest.mark.parametrize("k", [1, 3, 19])
def test_tail_and_its_gradient_agree_with_autograd(k):
    generator = torch.Generator().manual_seed(k)
    logits = torch.randn(6, 20, generator=generator, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(6, k + 1, generator=generator, dtype=torch.float64)
    log_p, _ = Outcomes(DivergenceConfig(top_k=k))(logits, logits.detach())
    expected = tail_by_autograd(logits, k)
    assert torch.allclose(log_p, expected, rtol=1e-12)
    gradient, reference = (torch.autograd.grad(out, logits, upstream)[0] for out in (log_p, expected))
    assert torch.allclose(gradient, reference, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("support", ["student", "teacher"])
@pytest.mark.parametrize("remainder", ["tail", "renormalise"])
@pytest.mark.parametrize("top_k", [None, 2, 4])
def test_gradient_reaches_the_students_logits(top_k, remainder, support, temperature):
    config = DivergenceConfig(top_k=top_k, remainder=remainder, support=support, temperature=temperature)
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64)
    outcomes = Outcomes(config)
    assert torch.autograd.gradcheck(lambda z: outcomes(z, teacher)[0], student.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda z: JSD(0.3)(*outcomes(z, teacher)), student.clone().requires_grad_())


def test_teacher_side_and_support_carry_no_gradient():
    student = STUDENT.clone().requires_grad_()
    log_p, log_q = Outcomes(DivergenceConfig(top_k=2))(student, TEACHER)
    assert log_p.requires_grad
    assert not log_q.requires_grad


def test_a_saturated_support_keeps_an_exact_tail():
    logits = torch.tensor([[1000.0, 0.0, 0.0]], requires_grad=True)  # in fp32 1 - p is 0, and the tail 2 exp(-1000)
    log_p, _ = Outcomes(DivergenceConfig(top_k=1))(logits, logits.detach())
    assert log_p[0].tolist() == pytest.approx([0.0, log(2) - 1000], rel=1e-6)
    (gradient,) = torch.autograd.grad(log_p[0, 1], logits)
    assert gradient[0].tolist() == pytest.approx([-1.0, 0.5, 0.5])


@pytest.mark.parametrize("scale", [10.0, 100.0, 10_000.0])
def test_saturated_supports_have_finite_gradients(scale):
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 50, 12, generator=generator) * scale
    for support in ("student", "teacher"):
        outcomes = Outcomes(DivergenceConfig(top_k=4, support=support))
        for divergence in (JSD(), ForwardKL(), ReverseKL()):
            logits = student.clone().requires_grad_()
            value = divergence(*outcomes(logits, teacher))
            assert value.isfinite().all()
            assert torch.autograd.grad(value.sum(), logits)[0].isfinite().all()


def test_a_tail_without_mass_gets_no_gradient():
    masked = torch.tensor([[0.0, log(3), -inf, -inf]], dtype=torch.float64)
    student = masked.clone().requires_grad_()
    log_p, log_q = Outcomes(DivergenceConfig(top_k=2))(student, masked.flip(-1).roll(2, -1))
    assert log_p.exp()[0].tolist() == pytest.approx([3 / 4, 1 / 4, 0.0])
    assert log_q.exp()[0].tolist() == pytest.approx([1 / 4, 3 / 4, 0.0])
    for divergence in (JSD(), ForwardKL(), ReverseKL()):
        (gradient,) = torch.autograd.grad(divergence(log_p, log_q).sum(), student, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient[0, :2].abs().min() > 0.01
        assert gradient[0, 2:].tolist() == [0.0, 0.0]


def test_a_tail_that_only_the_student_lacks_is_an_infinite_forward_kl_and_a_finite_jsd():
    student = torch.tensor([[0.0, 1.0, -inf]], requires_grad=True)
    pair = Outcomes(DivergenceConfig(top_k=2))(student, torch.zeros(1, 3))
    assert ForwardKL()(*pair).item() == inf
    assert JSD()(*pair).isfinite().all()
    for divergence in (ForwardKL(), JSD()):
        (gradient,) = torch.autograd.grad(divergence(*pair).sum(), student, retain_graph=True)
        assert gradient.isfinite().all()


def test_rows_alone_and_with_padding_are_the_same():
    generator = torch.Generator().manual_seed(5)
    student, teacher = torch.randn(2, 5, 30, generator=generator, dtype=torch.float64)
    outcomes = Outcomes(DivergenceConfig(top_k=7))
    padding = torch.zeros(3, 30, dtype=torch.float64)
    alone = JSD()(*outcomes(student, teacher))
    padded = JSD()(*outcomes(torch.cat([student, padding]), torch.cat([teacher, padding])))
    assert torch.allclose(padded[:5], alone, rtol=1e-13)
