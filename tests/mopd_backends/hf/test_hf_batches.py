"""Every rollout is decoded once, in batches that are not too large, with groups whole where they fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mopd_backends.hf.batches import Share, plan_batches

prompts = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=12)


@given(prompts, st.integers(1, 20))
def test_every_rollout_is_in_one_batch_and_groups_stay_whole(prompts, batch_size):
    lengths, sizes = [length for length, _ in prompts], [size for _, size in prompts]
    batches = plan_batches(lengths, sizes, batch_size)
    shares = [share for batch in batches for share in batch]
    rollouts = sorted((share.prompt, i) for share in shares for i in share.rollouts)
    assert rollouts == [(p, i) for p, size in enumerate(sizes) for i in range(size)]
    assert all(0 < sum(len(share.rollouts) for share in batch) <= batch_size for batch in batches)
    for p, size in enumerate(sizes):
        assert sum(share.prompt == p for share in shares) == -(-size // batch_size)
    assert [lengths[share.prompt] for share in shares] == sorted(
        (lengths[share.prompt] for share in shares), reverse=True
    )


def test_a_group_that_does_not_fit_starts_the_next_batch():
    assert plan_batches([5, 9, 7], [2, 2, 2], 5) == [
        [Share(1, range(2)), Share(2, range(2))],
        [Share(0, range(2))],
    ]


def test_a_group_larger_than_a_batch_is_split():
    assert plan_batches([5], [5], 2) == [[Share(0, range(2))], [Share(0, range(2, 4))], [Share(0, range(4, 5))]]
