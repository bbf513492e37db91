"""Every formula against numbers worked out by hand and against definitions written out in plain floats.

By hand: p = (1/2, 1/2) and q = (1/4, 3/4), so that every ratio is a small fraction.
"""

from __future__ import annotations

from math import exp, fsum, inf, log, nan, sqrt
from random import Random

import pytest
import torch

from mopd_core.divergences.alpha import Renyi
from mopd_core.divergences.forward_kl import ForwardKL
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.divergences.skew_kl import SkewForwardKL, SkewReverseKL
from mopd_core.divergences.total_variation import TotalVariation

BY_HAND = [
    (ForwardKL(), 3 / 4 * log(3) - log(2), [-1 / 4, -3 / 4]),
    (ReverseKL(), log(2) - log(3) / 2, [(log(2) + 1) / 2, (log(2 / 3) + 1) / 2]),
    (TotalVariation(), 1 / 4, [1 / 4, -1 / 4]),
    # m = (3/8, 5/8)
    (
        JSD(0.5),
        (log(4 / 3) + log(4 / 5)) / 4 + (log(2 / 3) + 3 * log(6 / 5)) / 8,
        [log(4 / 3) / 4, log(4 / 5) / 4],
    ),
    # m = 3/4 p + 1/4 q = (7/16, 9/16)
    (
        JSD(0.25),
        3 / 8 * (log(8 / 7) + log(8 / 9)) + (log(4 / 7) + 3 * log(4 / 3)) / 16,
        [3 / 8 * log(8 / 7), 3 / 8 * log(8 / 9)],
    ),
    # m = 1/4 q + 3/4 p = (7/16, 9/16)
    (SkewForwardKL(0.25), (log(4 / 7) + 3 * log(4 / 3)) / 4, [-3 / 14, -1 / 2]),
    # m = 1/4 p + 3/4 q = (5/16, 11/16)
    (
        SkewReverseKL(0.25),
        (log(8 / 5) + log(8 / 11)) / 2,
        [(log(8 / 5) + 3 / 5) / 2, (log(8 / 11) + 9 / 11) / 2],
    ),
    # p^2 / q = (1, 1/3)
    (Renyi(2.0, "reverse"), log(4 / 3), [3 / 2, 1 / 2]),
    # q^2 / p = (1/8, 9/8)
    (Renyi(2.0, "forward"), log(5 / 4), [-1 / 10, -9 / 10]),
    # sqrt(p q) = (1, sqrt 3) / sqrt 8
    (Renyi(0.5), -2 * log((1 + sqrt(3)) / sqrt(8)), [-1 / (1 + sqrt(3)), -sqrt(3) / (1 + sqrt(3))]),
]


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def name(value):
    return type(value).__name__ if callable(value) else ""


@pytest.mark.parametrize(("divergence", "value", "gradient"), BY_HAND, ids=name)
def test_two_outcomes_by_hand(divergence, value, gradient):
    log_p, log_q = tensor([1 / 2, 1 / 2]).log(), tensor([1 / 4, 3 / 4]).log()
    assert divergence(log_p, log_q).item() == pytest.approx(value, rel=1e-13)
    closed_value, closed_gradient = divergence.value_and_grad(log_p, log_q)
    assert closed_value.item() == pytest.approx(value, rel=1e-13)
    assert closed_gradient[0].tolist() == pytest.approx(gradient, rel=1e-13)


def kl(a, b):
    return fsum(x * log(x / y) for x, y in zip(a, b, strict=True) if x > 0)


def mix(a, b, share):
    return [share * x + (1 - share) * y for x, y in zip(a, b, strict=True)]


def renyi(a, b, order):
    return log(fsum(x**order * y ** (1 - order) for x, y in zip(a, b, strict=True))) / (order - 1)


DEFINITIONS = [
    (ForwardKL(), lambda p, q: kl(q, p)),
    (ReverseKL(), lambda p, q: kl(p, q)),
    (TotalVariation(), lambda p, q: fsum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2),
    *(
        (JSD(w), lambda p, q, w=w: (1 - w) * kl(p, mix(q, p, w)) + w * kl(q, mix(q, p, w)))
        for w in (0.01, 0.3, 0.5, 0.9)
    ),
    *((SkewForwardKL(s), lambda p, q, s=s: kl(q, mix(q, p, s))) for s in (0.1, 0.7)),
    *((SkewReverseKL(s), lambda p, q, s=s: kl(p, mix(p, q, s))) for s in (0.1, 0.7)),
    *((Renyi(a, "reverse"), lambda p, q, a=a: renyi(p, q, a)) for a in (0.2, 0.5, 0.99, 1.5, 4.0)),
    *((Renyi(a, "forward"), lambda p, q, a=a: renyi(q, p, a)) for a in (0.2, 3.0)),
]


def random_distribution(rng, outcomes, scale):
    weights = [exp(rng.gauss(0.0, scale)) for _ in range(outcomes)]
    return [weight / fsum(weights) for weight in weights]


@pytest.mark.parametrize(
    ("dtype", "relative", "absolute"), [(torch.float64, 1e-10, 1e-13), (torch.float32, 1e-4, 2e-6)]
)
@pytest.mark.parametrize(("divergence", "definition"), DEFINITIONS, ids=name)
def test_random_distributions_by_definition(divergence, definition, dtype, relative, absolute):
    rng = Random(7)
    for outcomes, scale in ((2, 1.0), (5, 0.3), (40, 2.0), (40, 4.0)):
        p, q = (random_distribution(rng, outcomes, scale) for _ in range(2))
        value = divergence(tensor(p).log().to(dtype), tensor(q).log().to(dtype)).item()
        if isinstance(divergence, Renyi):
            absolute = absolute / abs(divergence.order - 1)
        assert value == pytest.approx(definition(p, q), rel=relative, abs=absolute)


@pytest.mark.parametrize(("divergence", "definition"), DEFINITIONS, ids=name)
def test_gradient_with_every_entry_free(divergence, definition):
    rng = Random(3)
    p, q = (tensor(random_distribution(rng, 6, 1.0)).log() for _ in range(2))
    assert torch.autograd.gradcheck(lambda log_p: divergence(log_p, q), p.requires_grad_(), atol=1e-7)


BORDER = [  # p, q, and the values there
    ([1.0, 0.0], [0.5, 0.5], {"ForwardKL": inf, "ReverseKL": log(2), "TotalVariation": 0.5}),
    ([0.5, 0.5], [1.0, 0.0], {"ForwardKL": log(2), "ReverseKL": inf, "TotalVariation": 0.5}),
    ([1.0, 0.0], [0.0, 1.0], {"ForwardKL": inf, "ReverseKL": inf, "TotalVariation": 1.0, "JSD": log(2), "Renyi": inf}),
    ([1.0, 0.0], [1.0, 0.0], dict.fromkeys(("ForwardKL", "ReverseKL", "TotalVariation", "JSD", "Renyi"), 0.0)),
    (
        [0.0, 0.5, 0.5],
        [0.0, 0.25, 0.75],
        {"ForwardKL": BY_HAND[0][1], "ReverseKL": BY_HAND[1][1], "JSD": BY_HAND[3][1]},
    ),
]


@pytest.mark.parametrize(("p", "q", "values"), BORDER)
def test_values_on_the_border_of_the_simplex(p, q, values):
    divergences = {type(d).__name__: d for d in (ForwardKL(), ReverseKL(), TotalVariation(), JSD(), Renyi())}
    for key, value in values.items():
        assert divergences[key](tensor(p).log(), tensor(q).log()).item() == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("skew", [0.1, 0.6])
@pytest.mark.parametrize("kind", [SkewForwardKL, SkewReverseKL])
def test_skew_kl_of_disjoint_distributions_is_its_bound(kind, skew):
    log_p, log_q = tensor([1.0, 0.0, 0.0]).log(), tensor([0.0, 0.3, 0.7]).log()
    assert kind(skew)(log_p, log_q).item() == pytest.approx(-log(skew), rel=1e-13)


@pytest.mark.parametrize("divergence", [JSD(0.3), SkewForwardKL(), SkewReverseKL(), TotalVariation(), ForwardKL()])
def test_gradient_is_finite_wherever_the_formula_is_smooth(divergence):
    log_p = tensor([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]).log()
    log_q = tensor([0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0]).log()
    assert divergence.value_and_grad(log_p, log_q)[1].isfinite().all()


def test_reverse_kl_of_a_student_that_is_certain_has_a_finite_gradient():
    value, gradient = ReverseKL().value_and_grad(tensor([1.0, 0.0]).log(), tensor([0.25, 0.75]).log())
    assert value.item() == pytest.approx(log(4))
    assert gradient.tolist() == [pytest.approx([log(4) + 1, 0.0])]


@pytest.mark.parametrize("divergence", [d for d, _, _ in BY_HAND], ids=name)
def test_nan_that_comes_in_goes_out(divergence):
    log_p, log_q = tensor([0.5, 0.5], [nan, 0.5]).log(), tensor([0.25, 0.75], [0.5, 0.5]).log()
    assert divergence(log_p, log_q).isnan().tolist() == [False, True]
    assert divergence(log_q, log_p).isnan().tolist() == [False, True]


def test_rounding_below_zero_is_clamped_and_keeps_its_gradient():
    log_q = tensor([0.5, 0.5]).log()
    log_p = (log_q + 1e-12).requires_grad_()  # sums to a little more than 1, so that KL(q || p) is -1e-12
    value = ForwardKL()(log_p, log_q)
    (gradient,) = torch.autograd.grad(value.sum(), log_p)
    assert value.item() == 0.0
    assert gradient.tolist() == [pytest.approx([-0.5, -0.5])]


def test_renyi_tends_to_the_kls_at_order_1():
    log_p, log_q = tensor([0.2, 0.3, 0.5]).log(), tensor([0.6, 0.3, 0.1]).log()
    for direction, limit in (("reverse", ReverseKL()), ("forward", ForwardKL())):
        below, above = (Renyi(order, direction)(log_p, log_q).item() for order in (0.999, 1.001))
        exact = limit(log_p, log_q).item()
        assert below < exact < above
        assert (below + above) / 2 == pytest.approx(exact, rel=1e-6)


def test_skew_kl_tends_to_the_kls_and_jsd_to_zero():
    log_p, log_q = tensor([0.2, 0.3, 0.5]).log(), tensor([0.6, 0.3, 0.1]).log()
    assert SkewForwardKL(1e-9)(log_p, log_q).item() == pytest.approx(ForwardKL()(log_p, log_q).item(), rel=1e-7)
    assert SkewReverseKL(1e-9)(log_p, log_q).item() == pytest.approx(ReverseKL()(log_p, log_q).item(), rel=1e-7)
    assert all(JSD(w)(log_p, log_q).item() < 1e-5 for w in (1e-6, 1 - 1e-6))


def test_a_whole_vocabulary_in_fp32_is_as_good_as_in_fp64():
    logits = torch.randn(2, 2, 150_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    log_p, log_q = logits.log_softmax(-1)
    for divergence in (ForwardKL(), ReverseKL(), JSD(), SkewForwardKL(), SkewReverseKL(), TotalVariation(), Renyi()):
        value, gradient = divergence.value_and_grad(log_p.float(), log_q.float())
        exact_value, exact_gradient = divergence.value_and_grad(log_p, log_q)
        assert torch.allclose(value.double(), exact_value, rtol=1e-6)
        assert torch.allclose(gradient.double(), exact_gradient, rtol=1e-4, atol=1e-9)
