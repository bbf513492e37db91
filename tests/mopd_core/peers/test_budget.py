"""Budget arithmetic: equal parts for long texts, and cuts that never split a character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_core.peers.budget import cut_middle, share

MARK = " [...] "


class TestShare:
    @pytest.mark.parametrize(
        ("lengths", "total", "parts"),
        [
            ([10, 10, 10], 30, [10, 10, 10]),
            ([10, 10, 10], 100, [10, 10, 10]),
            ([2, 10, 10], 12, [2, 5, 5]),
            ([10, 2, 10], 13, [6, 2, 5]),
            ([100, 3, 100, 7], 50, [20, 3, 20, 7]),
            ([5, 5], 3, [2, 1]),
            ([5, 5], 0, [0, 0]),
            ([5, 5], -4, [0, 0]),
            ([], 4, []),
        ],
    )
    def test_by_hand(self, lengths, total, parts):
        assert share(lengths, total) == parts

    @given(st.lists(st.integers(0, 50), max_size=6), st.integers(-5, 300))
    def test_is_fair(self, lengths, total):
        parts = share(lengths, total)
        assert sum(parts) == min(max(total, 0), sum(lengths))
        assert all(0 <= part <= length for part, length in zip(parts, lengths, strict=True))
        cut = [part for part, length in zip(parts, lengths, strict=True) if part < length]
        assert not cut or max(parts) - min(cut) <= 1  # nobody has more than one who was cut, but for an odd token


class TestCutMiddle:
    def test_keeps_both_ends(self, tokenizer):
        text = "seven and five are twelve " * 10
        ids = tokenizer.encode(text, add_special_tokens=False)
        cut, kept = cut_middle(tokenizer, ids, 9, MARK)
        assert kept == 9
        assert cut == tokenizer.decode(ids[:5]) + MARK + tokenizer.decode(ids[-4:])

    def test_keeping_nothing_leaves_the_mark(self, tokenizer):
        assert cut_middle(tokenizer, tokenizer.encode("seven and five"), 0, MARK) == (MARK, 0)

    def test_one_token_is_the_first(self, tokenizer):
        ids = tokenizer.encode("xyz")
        assert cut_middle(tokenizer, ids, 1, MARK) == (f"x{MARK}", 1)

    @given(st.text(alphabet="aé数🎲 \n", min_size=1, max_size=40), st.integers(0, 60))
    def test_never_splits_a_character(self, tokenizer, text, keep):
        ids = tokenizer.encode(text, add_special_tokens=False)
        keep = min(keep, len(ids))
        cut, kept = cut_middle(tokenizer, ids, keep, MARK)
        start, end = cut.split(MARK)
        assert text.startswith(start)
        assert text.endswith(end)
        assert keep - 6 <= kept <= keep
        assert len(start) + len(end) <= len(text)
