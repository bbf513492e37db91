"""The teacher prompt's token budget, spent by block: what does not fit is cut from the middle of block texts.

Nothing is ever cut from the finished prompt, so the question, the closing instruction and the generation header are
always there (docs/method.md section 9). A cut is marked, stands between two tokens of a block's text and never inside a
character.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mopd_core.interfaces import Tokenizer
from mopd_core.peers.context import Block

LEAST_SHOWN = 16
"""Tokens of a long text that a block has to show to be worth its heading; where they do not fit, the block goes."""

_BROKEN = "\N{REPLACEMENT CHARACTER}"
_CHARACTER_TOKENS = 4
"""A character has four bytes at most, and so at most that many byte tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A prompt within its budget. token_ids: [S] int32. n_trimmed_tokens: tokens of block texts that are not shown."""

    token_ids: NDArray[np.int32]
    n_blocks: int
    n_trimmed_tokens: int


@dataclass(frozen=True, slots=True)
class Fitter:
    """Fits blocks into `budget` tokens. encode: the token ids of a block's text."""

    tokenizer: Tokenizer
    mark: str
    budget: int
    encode: Callable[[str], Sequence[int]]

    def fit(self, blocks: Sequence[Block], render: Callable[[Sequence[Block]], NDArray[np.int32]]) -> Fitted | None:
        """The prompt with as many of the blocks as can show something, the first ones first; None if not one can.

        render: the whole prompt's ids [S] with some blocks.
        """
        for n in range(len(blocks), 0, -1):
            if fitted := self._trim(blocks[:n], render):
                dropped = sum(len(self.encode(block.text)) for block in blocks[n:])
                return Fitted(fitted.token_ids, n, fitted.n_trimmed_tokens + dropped)
        return None

    def _trim(self, blocks: Sequence[Block], render: Callable[[Sequence[Block]], NDArray[np.int32]]) -> Fitted | None:
        """All of these blocks, trimmed until the prompt fits; None if that leaves some block next to nothing."""
        prompt = render(blocks)
        if len(prompt) <= self.budget:
            return Fitted(prompt, len(blocks), 0)
        texts = [self.encode(block.text) for block in blocks]
        lengths = [len(ids) for ids in texts]
        room = sum(lengths)
        while len(prompt) > self.budget:
            room -= len(prompt) - self.budget
            keep = share(lengths, room)
            if any(kept < min(length, LEAST_SHOWN) for kept, length in zip(keep, lengths, strict=True)):
                return None
            cut = [
                cut_middle(self.tokenizer, ids, kept, self.mark) if kept < len(ids) else (block.text, kept)
                for block, ids, kept in zip(blocks, texts, keep, strict=True)
            ]
            prompt = render([Block(block.kind, text) for block, (text, _) in zip(blocks, cut, strict=True)])
        return Fitted(prompt, len(blocks), sum(lengths) - sum(kept for _, kept in cut))


def share(lengths: Sequence[int], total: int) -> list[int]:
    """Split `total` tokens among texts of these lengths: short ones get all they need, long ones equal parts.

    Sums to min(total, sum of lengths), nothing where total is negative; an odd token goes to the earlier text.
    """
    parts = [0] * len(lengths)
    left = max(total, 0)
    by_length = sorted(range(len(lengths)), key=lambda i: (lengths[i], -i))
    for served, i in enumerate(by_length):
        parts[i] = min(lengths[i], left // (len(lengths) - served))
        left -= parts[i]
    return parts


def cut_middle(tokenizer: Tokenizer, token_ids: Sequence[int], keep: int, mark: str) -> tuple[str, int]:
    """The first and last tokens of a text, `keep` in all, around the mark, and how many tokens of the text that kept.

    A character that the cut would split goes whole, so up to six tokens fewer may stay.
    """
    head, tail = list(token_ids[: keep - keep // 2]), list(token_ids[len(token_ids) - keep // 2 :])
    start, end = tokenizer.decode(head, skip_special_tokens=False), tokenizer.decode(tail, skip_special_tokens=False)
    for _ in range(_CHARACTER_TOKENS - 1):
        if start.endswith(_BROKEN):
            head.pop()
            start = tokenizer.decode(head, skip_special_tokens=False)
        if end.startswith(_BROKEN):
            tail.pop(0)
            end = tokenizer.decode(tail, skip_special_tokens=False)
    return f"{start}{mark}{end}", len(head) + len(tail)
