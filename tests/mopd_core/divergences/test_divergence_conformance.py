"""The conformance suite that plugin authors get, on every built-in, and on formulas that it has to refuse."""

from __future__ import annotations

import pytest
import torch

from mopd_core.divergences.alpha import Renyi
from mopd_core.divergences.forward_kl import ForwardKL
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.divergences.skew_kl import SkewForwardKL, SkewReverseKL
from mopd_core.divergences.total_variation import TotalVariation
from mopd_core.testing.divergences import DivergenceSuite


class TestForwardKL(DivergenceSuite):
    @pytest.fixture
    def divergence(self):
        return ForwardKL()


class TestReverseKL(DivergenceSuite):
    @pytest.fixture
    def divergence(self):
        return ReverseKL()


class TestTotalVariation(DivergenceSuite):
    @pytest.fixture
    def divergence(self):
        return TotalVariation()


class TestJSD(DivergenceSuite):
    @pytest.fixture(params=[0.1, 0.5, 0.8])
    def divergence(self, request):
        return JSD(request.param)


class TestSkewKL(DivergenceSuite):
    @pytest.fixture(params=[SkewForwardKL, SkewReverseKL])
    def divergence(self, request):
        return request.param(0.1)


class TestRenyi(DivergenceSuite):
    @pytest.fixture(params=[(0.5, "reverse"), (0.3, "forward"), (2.0, "reverse"), (2.0, "forward")])
    def divergence(self, request):
        return Renyi(*request.param)


class SquaredDistance:
    """A third party's formula: half the squared distance of the probabilities, without a closed form."""

    def __call__(self, log_p, log_q):
        return (log_p.exp() - log_q.exp()).square().sum(-1) / 2


class TestThirdParty(DivergenceSuite):
    @pytest.fixture
    def divergence(self):
        return SquaredDistance()


class Truncated:
    """A sum over some outcomes only, which is not a divergence."""

    def __call__(self, log_p, log_q):
        return (log_p.exp() * (log_p - log_q))[:, :2].sum(-1)


class HalfTheGradient(ForwardKL):
    def value_and_grad(self, log_p, log_q):
        value, grad = super().value_and_grad(log_p, log_q)
        return value, grad / 2


class BatchMean:
    def __call__(self, log_p, log_q):
        return ForwardKL()(log_p, log_q).mean().expand(len(log_p))


class WritesToItsInput:
    def __call__(self, log_p, log_q):
        return ForwardKL()(log_p, log_q.sub_(1.0))


class NaiveJSD:
    """Right inside the simplex, and NaN on its border."""

    def __call__(self, log_p, log_q):
        p, q = log_p.exp(), log_q.exp()
        log_m = ((p + q) / 2).log()
        return ((p * (log_p - log_m) + q * (log_q - log_m)) / 2).sum(-1)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Truncated(), "test_is_never_negative"),
        (HalfTheGradient(), "test_gradient_is_that_of_the_value"),
        (BatchMean(), "test_rows_do_not_influence_each_other"),
        (WritesToItsInput(), "test_leaves_its_inputs_alone"),
        (NaiveJSD(), "test_an_outcome_impossible_on_both_sides_changes_nothing"),
        (NaiveJSD(), "test_an_outcome_impossible_on_one_side_gives_a_number_or_infinity"),
    ],
)
def test_the_suite_refuses_a_broken_divergence(broken, test):
    arguments = (torch.float32,) if test == "test_is_never_negative" else ()
    with pytest.raises(AssertionError):
        getattr(DivergenceSuite(), test)(broken, *arguments)
