from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mopd_core.data.order import _epoch, prompts_for_step

SIZES = st.integers(1, 24)
SEEDS = st.integers(0, 5)


@given(n=SIZES, per_step=SIZES, seed=SEEDS, epochs=st.integers(1, 5))
def test_every_epoch_has_each_row_once(n: int, per_step: int, seed: int, epochs: int) -> None:
    steps = -(-n * epochs // per_step)
    rows = [row for step in range(1, steps + 1) for row in prompts_for_step(n, per_step, step, seed)]
    for epoch in range(epochs):
        assert sorted(rows[epoch * n : (epoch + 1) * n]) == list(range(n))


@given(per_step=SIZES, more=st.integers(0, 12), seed=SEEDS)
def test_no_row_comes_twice_in_a_step(per_step: int, more: int, seed: int) -> None:
    for step in range(1, 3 * (per_step + more)):
        rows = prompts_for_step(per_step + more, per_step, step, seed)
        assert len(set(rows)) == len(rows) == per_step


@given(n=st.integers(1, 6), per_step=st.integers(7, 20), step=st.integers(1, 9))
def test_a_step_longer_than_the_data_repeats_rows_evenly(n: int, per_step: int, step: int) -> None:
    counts = Counter(prompts_for_step(n, per_step, step, 0))
    assert sum(counts.values()) == per_step
    assert max(counts.values()) - min(counts[row] for row in range(n)) <= 2


def test_a_step_needs_no_earlier_step() -> None:
    in_order = [prompts_for_step(13, 5, step, 7) for step in range(1, 40)]
    for step in reversed(range(1, 40)):
        _epoch.cache_clear()
        assert prompts_for_step(13, 5, step, 7) == in_order[step - 1]


def test_epochs_and_seeds_differ() -> None:
    first = prompts_for_step(40, 40, 1, 0)
    assert first != prompts_for_step(40, 40, 2, 0)
    assert first != prompts_for_step(40, 40, 1, 1)
    assert first != list(range(40))


def test_a_straddling_step_only_swaps_what_it_has_to() -> None:
    """With n = 5 and 3 a step, step 2 has the first epoch's last two rows and one row of the second epoch."""
    first, second = _epoch(5, 3, 0, 1), _epoch(5, 3, 1, 1)
    assert prompts_for_step(5, 3, 2, 1) == [*first[3:], second[0]]
    assert second[0] not in first[3:]


def test_the_order_is_pinned() -> None:
    """A release that changes it would make resumed runs see other prompts: say so in the changelog."""
    assert [prompts_for_step(7, 3, step, 0) for step in (1, 2, 3)] == [[1, 4, 5], [6, 0, 3], [2, 1, 5]]
