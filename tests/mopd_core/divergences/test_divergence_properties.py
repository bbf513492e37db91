"""What holds for every built-in and any pair of distributions, nearly certain ones included."""

from __future__ import annotations

from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_core.divergences.alpha import Renyi
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.forward_kl import ForwardKL
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.divergences.skew_kl import SkewForwardKL, SkewReverseKL
from mopd_core.divergences.total_variation import TotalVariation

BUILT_IN = [
    ForwardKL(),
    ReverseKL(),
    TotalVariation(),
    JSD(0.5),
    JSD(0.05),
    JSD(0.9),
    SkewForwardKL(0.1),
    SkewReverseKL(0.1),
    Renyi(0.5),
    Renyi(0.3, "forward"),
    Renyi(2.5, "reverse"),
    Renyi(2.5, "forward"),
]
every_built_in = pytest.mark.parametrize("divergence", BUILT_IN, ids=lambda d: f"{type(d).__name__}-{vars(d)}")
quick = settings(max_examples=40, deadline=None)

LOGIT = st.floats(-40.0, 40.0, width=32)


@st.composite
def logit_pairs(draw):
    """Both sides' logits, [1, V] each, fp64."""
    size = draw(st.integers(2, 9))
    sides = [draw(st.lists(LOGIT, min_size=size, max_size=size)) for _ in range(2)]
    student, teacher = torch.tensor(sides, dtype=torch.float64)
    return student[None], teacher[None]


def value_of(divergence, pair, **options):
    return divergence(*Outcomes(DivergenceConfig(**options))(*pair)).item()


def slack(value):
    return 1e-11 + 1e-11 * value


@every_built_in
@quick
@given(pair=logit_pairs())
def test_never_negative_and_zero_of_itself(divergence, pair):
    assert value_of(divergence, pair) >= 0.0
    assert value_of(divergence, (pair[0], pair[0])) <= 1e-11


@every_built_in
@quick
@given(pair=logit_pairs(), data=st.data())
def test_a_tail_never_gives_more_than_finer_outcomes(divergence, pair, data):
    vocabulary = pair[0].shape[-1]
    support = data.draw(st.sampled_from(["student", "teacher"]))
    top_k = data.draw(st.integers(1, vocabulary - 1))
    values = [value_of(divergence, pair, top_k=k, support=support) for k in (top_k, top_k + 1)]
    whole = value_of(divergence, pair)
    assert values[0] <= values[1] + slack(values[1])
    assert values[1] <= whole + slack(whole)


@every_built_in
@quick
@given(pair=logit_pairs(), temperature=st.floats(0.5, 4.0))
def test_a_k_of_the_vocabulary_equals_the_whole_and_temperature_divides(divergence, pair, temperature):
    vocabulary = pair[0].shape[-1]
    whole = value_of(divergence, pair, temperature=temperature)
    assert value_of(divergence, pair, temperature=temperature, top_k=vocabulary) == whole
    assert value_of(divergence, tuple(side / temperature for side in pair)) == whole


@every_built_in
@quick
@given(pair=logit_pairs(), data=st.data())
def test_the_order_of_the_outcomes_does_not_matter(divergence, pair, data):
    order = data.draw(st.permutations(range(pair[0].shape[-1])))
    value = value_of(divergence, pair)
    assert value_of(divergence, tuple(side[:, order] for side in pair)) == pytest.approx(value, rel=1e-9, abs=1e-12)


@quick
@given(pair=logit_pairs(), weight=st.floats(0.01, 0.99))
def test_jsd_is_bounded_by_the_entropy_of_its_weights(pair, weight):
    entropy = -weight * log(weight) - (1 - weight) * log(1 - weight)
    assert value_of(JSD(weight), pair) <= entropy + 1e-12
    assert value_of(JSD(weight), pair) == pytest.approx(value_of(JSD(1 - weight), pair[::-1]), rel=1e-9, abs=1e-12)


@quick
@given(pair=logit_pairs())
def test_jsd_of_equal_weights_is_symmetric_and_at_most_ln_2(pair):
    value = value_of(JSD(), pair)
    assert value == pytest.approx(value_of(JSD(), pair[::-1]), rel=1e-10, abs=1e-13)
    assert value <= log(2) + 1e-12


@quick
@given(pair=logit_pairs())
def test_known_inequalities_between_the_built_ins(pair):
    """Pinsker's for both KLs; total variation within 1; Rényi grows with its order; skewing never adds."""
    variation, forward, reverse = (value_of(d, pair) for d in (TotalVariation(), ForwardKL(), ReverseKL()))
    assert variation <= 1.0 + 1e-12
    assert 2 * variation**2 <= min(forward, reverse) + 1e-11
    assert value_of(Renyi(0.5), pair) <= reverse + slack(reverse)
    assert reverse <= value_of(Renyi(2.0), pair) + slack(reverse)
    assert value_of(SkewForwardKL(0.1), pair) <= min(0.9 * forward, log(10)) + slack(forward)
    assert value_of(SkewReverseKL(0.1), pair) <= min(0.9 * reverse, log(10)) + slack(reverse)
