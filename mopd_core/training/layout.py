"""Flat, ragged sequences: every token stands once, and prefixes that sequences share are computed once.

A micro-batch's sequences form a prefix tree. Its segments lie end to end in one row of tokens [n], siblings side by
side; a segment sees itself, causally, and all of its ancestors. Nothing is padded. `attention` runs a model over this
layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, pairwise
from operator import attrgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

Ids = NDArray[np.int32]

MIN_SHARED = 16
"""Fewer tokens in common are computed twice: a segment costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens in the flat row. ancestors: their flat slices, root first; offset: tokens before it."""

    start: int
    length: int
    ancestors: tuple[slice, ...]
    offset: int

    @property
    def span(self) -> slice:
        return slice(self.start, self.start + self.length)


@dataclass(frozen=True, slots=True)
class FlatSequences:
    """The sequences of a micro-batch.

    token_ids, positions: [n] int64. rows: for every sequence the flat row of each of its tokens. masks: attention masks
    by shape, block_masks: by window, windows: the spans of attention that layers asked for; `attention` fills them in.
    """

    token_ids: Tensor
    positions: Tensor
    segments: tuple[Segment, ...]
    rows: tuple[Tensor, ...]
    masks: dict[tuple[int, int, int | None], Tensor] = field(default_factory=dict)
    block_masks: dict[int | None, BlockMask] = field(default_factory=dict)
    windows: set[int | None] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.token_ids)

    def to(self, device: torch.device) -> FlatSequences:
        return FlatSequences(
            self.token_ids.to(device), self.positions.to(device), self.segments, tuple(r.to(device) for r in self.rows)
        )

    def families(self) -> Iterator[tuple[tuple[slice, ...], slice]]:
        """For every segment with children, in order: the spans from the root to it, and the span of its children."""
        for ancestors, children in groupby(self.segments, key=attrgetter("ancestors")):
            if ancestors:
                spans = [child.span for child in children]
                yield ancestors, slice(spans[0].start, spans[-1].stop)


@dataclass(frozen=True, slots=True)
class _Node:
    """What the sequences `members` share, from token `offset` up to `end`."""

    members: tuple[int, ...]
    offset: int
    end: int
    children: tuple[_Node, ...]


def common_prefix(a: Ids, b: Ids) -> int:
    """How many leading tokens two sequences share."""
    if a is b:
        return len(a)
    size = min(len(a), len(b))
    differ = np.flatnonzero(a[:size] != b[:size])
    return int(differ[0]) if len(differ) else size


def _grow(sequences: Sequence[Ids]) -> tuple[_Node, ...]:
    """The roots of the tree. In lexicographic order, what a run of sequences has in common its neighbours have."""
    equal: dict[bytes, list[int]] = {}
    for number, sequence in enumerate(sequences):
        equal.setdefault(sequence.astype(">u4").tobytes(), []).append(number)
    order = [tuple(equal[key]) for key in sorted(equal)]
    shared = [common_prefix(sequences[one[0]], sequences[other[0]]) for one, other in pairwise(order)]

    def branches(first: int, last: int, at: int) -> Iterator[_Node]:
        """The nodes of sequences first to last of the order, which agree up to token `at`."""
        cuts = [place + 1 for place in range(first, last) if shared[place] < at + MIN_SHARED]
        for start, stop in pairwise([first, *cuts, last + 1]):
            end = min(shared[start : stop - 1], default=len(sequences[order[start][0]]))
            if end > at:
                members = tuple(chain.from_iterable(order[start:stop]))
                yield _Node(members, at, end, tuple(branches(start, stop - 1, end)))

    return tuple(branches(0, len(order) - 1, 0)) if order else ()


def _place(
    nodes: Sequence[_Node],
    ancestors: tuple[slice, ...],
    start: int,
    placed: list[tuple[Segment, tuple[int, ...]]],
) -> int:
    """Lay siblings out in the flat row from `start`, then what hangs below each; where the next segment begins.

    placed: takes each segment, with the sequences that have it.
    """
    spans = []
    for node in nodes:
        segment = Segment(start, node.end - node.offset, ancestors, node.offset)
        start = segment.span.stop
        placed.append((segment, node.members))
        spans.append(segment.span)
    for node, span in zip(nodes, spans, strict=True):
        start = _place(node.children, (*ancestors, span), start, placed)
    return start


def lay_out(sequences: Sequence[Ids]) -> FlatSequences:
    """Arrange sequences (each [S] int32) as a prefix tree, sharing prefixes of at least `MIN_SHARED` tokens."""
    placed: list[tuple[Segment, tuple[int, ...]]] = []
    flat = np.arange(_place(_grow(sequences), (), 0, placed))
    tokens, positions = np.empty_like(flat), np.empty_like(flat)
    parts: list[list[NDArray[np.int64]]] = [[flat[:0]] for _ in sequences]
    for segment, members in placed:
        here, end = segment.span, segment.offset + segment.length
        tokens[here] = sequences[members[0]][segment.offset : end]
        positions[here] = flat[here] - (segment.start - segment.offset)
        for member in members:
            parts[member].append(flat[here])
    return FlatSequences(
        torch.from_numpy(tokens),
        torch.from_numpy(positions),
        tuple(segment for segment, _ in placed),
        tuple(torch.from_numpy(np.concatenate(of_sequence)) for of_sequence in parts),
    )
