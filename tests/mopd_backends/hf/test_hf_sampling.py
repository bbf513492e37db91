"""The restricted distribution against numbers worked out by hand, and races against the distribution they stand for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mopd_backends.hf.sampling import Races, draw, log_distribution
from mopd_core.testing.generators import restrict
from mopd_core.types import Sampling

CPU = torch.device("cpu")
P = torch.tensor([[0.4, 0.3, 0.2, 0.1]])


def left(**options):
    """The probabilities that sampling leaves of 0.4, 0.3, 0.2, 0.1."""
    return log_distribution(P.log(), Sampling(max_tokens=1, **options)).exp()[0].tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_k": 4}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_k": 99}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_p": 0.39}, [1, 0, 0, 0]),
        ({"top_p": 0.41}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"temperature": 0.5, "top_p": 0.55}, [16 / 25, 9 / 25, 0, 0]),
        ({"top_k": 3, "top_p": 0.75}, [4 / 7, 3 / 7, 0, 0]),  # of the three left, two hold 7/9 = 0.78
        ({"temperature": 0.0}, [1, 0, 0, 0]),
    ],
    ids=str,
)
def test_what_is_left_of_a_distribution(options, expected):
    assert left(**options) == pytest.approx(expected, abs=1e-6)


def test_outcomes_tied_with_the_last_one_stay():
    tied = torch.tensor([[2.0, 1.0, 1.0, 0.0]])
    kept = log_distribution(tied, Sampling(max_tokens=1, top_k=2)).isfinite()
    assert kept.tolist() == [[True, True, True, False]]


@given(
    seed=st.integers(0, 2**32),
    temperature=st.sampled_from([0.3, 1.0, 1.6]),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.05, 1.0),
)
def test_agrees_with_the_conformance_suites_own_restriction(seed, temperature, top_k, top_p):
    logits = 3 * torch.randn(1, 10, generator=torch.Generator().manual_seed(seed))
    sampling = Sampling(max_tokens=1, temperature=temperature, top_k=top_k, top_p=top_p)
    restricted = log_distribution(logits, sampling)
    mass = restrict(logits[0], Sampling(max_tokens=1, temperature=temperature, top_k=top_k)).exp()
    edges = mass.sort(descending=True).values.cumsum(-1)
    if (edges - top_p).abs().min() > 1e-5:
        torch.testing.assert_close(restricted[0].double(), restrict(logits[0], sampling), atol=1e-5, rtol=0)


def test_log_probs_are_of_what_was_drawn_and_never_positive():
    log_probs = log_distribution(20 * torch.randn(64, 30), Sampling(max_tokens=1))
    tokens, drawn = draw(log_probs, Races(range(64), 30, CPU).log_times())
    assert torch.equal(drawn, log_probs[torch.arange(64), tokens])
    assert (drawn <= 0).all()


def test_races_are_won_in_proportion():
    """20,000 draws, one of five outcomes impossible: chi-square with 3 degrees of freedom exceeds 32 once in 1.9e6."""
    n = 20_000
    p = torch.tensor([0.5, 0.3, 0.0, 0.199, 0.001])
    tokens, _ = draw(p.log().expand(n, -1), Races(range(n), 5, CPU).log_times())
    counts = torch.bincount(tokens, minlength=5)
    assert counts[2] == 0
    possible = p > 0
    expected = n * p[possible]
    assert ((counts[possible] - expected) ** 2 / expected).sum() < 32


def test_consecutive_draws_of_a_row_are_independent():
    """18,000 pairs from six equal outcomes: chi-square with 35 degrees of freedom exceeds 95 once in 5 million."""
    n = 18_000
    races = Races(range(n), 6, CPU)
    flat = torch.zeros(n, 6).log_softmax(-1)
    first, second = (draw(flat, races.log_times())[0] for _ in range(2))
    counts = torch.bincount(6 * first + second, minlength=36)
    assert ((counts - n / 36) ** 2 / (n / 36)).sum() < 95


def test_a_row_runs_the_same_races_whichever_rows_are_beside_it():
    together, alone = Races([4, 5, 6], 9, CPU), Races([6], 9, CPU)
    for kept in ([0, 1, 2], [0, 2], [1]):
        together.keep(kept)
        assert torch.equal(together.log_times()[-1], alone.log_times()[0])
