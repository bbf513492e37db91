"""The prefix tree: rows spell the sequences, and what they share stands once."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mopd_core.training import layout
from mopd_core.training.layout import MIN_SHARED, lay_out

PIECES = st.sampled_from([[0], [1], [0] * 5, [0, 1], [0] * MIN_SHARED, [1] * 20, [0, 1] * 12, [2]])
SEQUENCES = st.lists(st.lists(PIECES, min_size=1, max_size=5).map(lambda parts: [*chain(*parts)]), max_size=8)


def arrays(sequences):
    return [np.asarray(sequence, dtype=np.int32) for sequence in sequences]


def check(sequences):
    """What holds of every layout; returns it."""
    flat = lay_out(sequences)
    assert len(flat.rows) == len(sequences)
    for ids, rows in zip(sequences, flat.rows, strict=True):
        assert flat.token_ids[rows].tolist() == ids.tolist()
        assert flat.positions[rows].tolist() == list(range(len(ids)))
    assert sorted({row for rows in flat.rows for row in rows.tolist()}) == list(range(len(flat)))
    check_segments(flat)
    return flat


def check_segments(flat):
    """Segments cover the flat row end to end, and each follows ancestors that lead from the root to it."""
    ends = 0
    for segment in flat.segments:
        assert segment.start == ends
        assert segment.length > 0
        ends += segment.length
        seen = [place for span in (*segment.ancestors, segment.span) for place in range(span.start, span.stop)]
        assert flat.positions[seen].tolist() == list(range(segment.offset + segment.length))
    assert ends == len(flat)
    check_families(flat)


def check_families(flat):
    """Every segment that has ancestors is in the one span of queries that are given just these ancestors."""
    below = {}
    for ancestors, span in flat.families():
        below |= dict.fromkeys(range(span.start, span.stop), ancestors)
    expected = {
        row: segment.ancestors
        for segment in flat.segments
        if segment.ancestors
        for row in range(segment.span.start, segment.span.stop)
    }
    assert below == expected


@settings(max_examples=200, deadline=None)
@given(SEQUENCES)
@example([[0] * 5 + [1] * 30, [0] * 5, [0] * 5 + [2] * 9, [0] * 5 + [1] * 3 + [2]])
@example([[0] * 40, [0] * 17, [0] * 16 + [1], [0] * 40])
def test_rows_spell_each_sequence(sequences):
    check(arrays(sequences))


@settings(max_examples=100, deadline=None)
@given(sequences=SEQUENCES, smallest=st.integers(1, 4))
def test_rows_spell_each_sequence_however_little_is_shared(sequences, smallest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "MIN_SHARED", smallest)
        check(arrays(sequences))


@settings(max_examples=100, deadline=None)
@given(SEQUENCES)
def test_every_long_shared_prefix_stands_once(sequences):
    """With everything shared, the flat row has one token for every distinct prefix and not one more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "MIN_SHARED", 1)
        distinct = {tuple(sequence[: end + 1]) for sequence in sequences for end in range(len(sequence))}
        assert len(lay_out(arrays(sequences))) == len(distinct)


@settings(max_examples=30, deadline=None)
@given(sequences=SEQUENCES, order=st.randoms(use_true_random=False))
def test_the_order_of_insertion_does_not_matter(sequences, order):
    prompt = [3] * 40
    group = [prompt + sequence for sequence in sequences]
    order.shuffle(group)
    flat = check(arrays(group))
    assert all((rows[:40] == flat.rows[0][:40]).all() for rows in flat.rows)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_a_prompt_stands_once_for_its_whole_group(n, draw_ids):
    prompt = draw_ids(40)
    responses = [np.asarray([number, *draw_ids(10, number)], dtype=np.int32) for number in range(n)]
    assert len(check([np.concatenate([prompt, response]) for response in responses])) == 40 + 11 * n


def test_a_tree_of_prefixes(draw_ids):
    """A question of 20, a context of 30 that two of three targets share, and responses of 5 each."""
    question, context = draw_ids(20, 1), draw_ids(30, 2)
    tails = [np.asarray([number] * 5, dtype=np.int32) for number in range(3)]
    sequences = [np.concatenate([question, context, tail]) for tail in tails[:2]]
    flat = check([*sequences, np.concatenate([question, tails[2]])])
    assert len(flat) == 20 + 30 + 3 * 5
    assert sorted(len(segment.ancestors) for segment in flat.segments) == [0, 1, 1, 2, 2]


def test_short_common_prefixes_are_not_shared(draw_ids):
    ids = draw_ids(MIN_SHARED)
    one, other = np.append(ids, 0).astype(np.int32), np.append(ids, 1).astype(np.int32)
    assert len(check([one, other])) == MIN_SHARED + 2
    assert len(check([one[1:], other[1:]])) == 2 * MIN_SHARED


def test_a_few_common_tokens_more_are_no_segment(draw_ids):
    """Of three that share 40, two share 2 more: these are computed twice, and not in a segment of their own."""
    prompt = draw_ids(40)
    tails = ([5, 6, 7] * 5, [5, 6, 8] * 5, [9] * 15)
    flat = check([np.concatenate([prompt, tail]).astype(np.int32) for tail in tails])
    assert [segment.length for segment in flat.segments] == [40, 15, 15, 15]


def test_identical_sequences_stand_once(draw_ids):
    ids = draw_ids(9)
    assert len(check([ids, ids.copy(), ids])) == 9


@pytest.mark.parametrize("long_first", [True, False])
def test_a_sequence_that_is_a_prefix_of_another(long_first, draw_ids):
    ids = draw_ids(40)
    sequences = [ids, ids[:20]] if long_first else [ids[:20], ids]
    assert len(check(sequences)) == 40


def test_no_sequences():
    flat = check([])
    assert (len(flat), flat.segments, flat.rows) == (0, (), ())
