"""Flat, ragged sequences: every token stands once, and prefixes that sequences share are computed once.

A micro-batch's sequences form a prefix tree. Its segments lie end to end in one row of tokens [n]; a segment sees
itself, causally, and all of its ancestors. Nothing is padded. `attention` runs a model over this layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ids = NDArray[np.int32]

MIN_SHARED = 16
"""Shorter common prefixes are computed twice: a segment costs more than it saves."""


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
    by shape, filled in by `attention` and shared by all layers.
    """

    token_ids: Tensor
    positions: Tensor
    segments: tuple[Segment, ...]
    rows: tuple[Tensor, ...]
    masks: dict[tuple[int, int, int | None], Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.token_ids)

    def to(self, device: torch.device) -> FlatSequences:
        return FlatSequences(
            self.token_ids.to(device), self.positions.to(device), self.segments, tuple(r.to(device) for r in self.rows)
        )


@dataclass(slots=True)
class _Node:
    tokens: Ids
    offset: int
    children: list[_Node] = field(default_factory=list)
    start: int = -1


def common_prefix(a: Ids, b: Ids) -> int:
    """How many leading tokens two sequences share."""
    size = min(len(a), len(b))
    differ = np.flatnonzero(a[:size] != b[:size])
    return int(differ[0]) if len(differ) else size


def _split(node: _Node, at: int) -> None:
    """Cut a node in two; its children hang below the lower half."""
    lower = _Node(node.tokens[at:], node.offset + at, node.children)
    node.tokens, node.children = node.tokens[:at], [lower]


def _insert(root: _Node, sequence: Ids) -> list[_Node]:
    """Add a sequence to the tree; the nodes below the root that spell it."""
    path, node, at = [], root, 0
    while at < len(sequence):
        rest = sequence[at:]
        shared = [(common_prefix(child.tokens, rest), child) for child in node.children]
        length, child = max(shared, key=lambda pair: (pair[0], pair[0] == len(pair[1].tokens)), default=(0, None))
        if child is None or length < min(MIN_SHARED, len(child.tokens)):
            child = _Node(rest, at)
            node.children.append(child)
        elif length < len(child.tokens):
            _split(child, length)
        path.append(child)
        node, at = child, at + len(child.tokens)
    return path


def _place(node: _Node, ancestors: tuple[slice, ...], start: int, segments: list[Segment]) -> int:
    """Lay a subtree out in the flat row from `start`, parents first; where the next one begins."""
    for child in node.children:
        child.start = start
        segment = Segment(start, len(child.tokens), ancestors, child.offset)
        segments.append(segment)
        start = _place(child, (*ancestors, segment.span), start + segment.length, segments)
    return start


def lay_out(sequences: Sequence[Ids]) -> FlatSequences:
    """Arrange sequences (each [S] int32) as a prefix tree, sharing prefixes of at least `MIN_SHARED` tokens."""
    root = _Node(np.zeros(0, dtype=np.int32), 0)
    for sequence in sequences:
        _insert(root, sequence)
    segments: list[Segment] = []
    total = _place(root, (), 0, segments)
    tokens = np.zeros(total, dtype=np.int64)
    positions = np.zeros(total, dtype=np.int64)
    rows = []
    for sequence in sequences:
        path = _insert(root, sequence)
        row = np.concatenate([np.arange(n.start, n.start + len(n.tokens)) for n in path] or [np.zeros(0, np.int64)])
        tokens[row] = sequence
        positions[row] = np.arange(len(sequence))
        rows.append(torch.from_numpy(row.astype(np.int64)))
    return FlatSequences(torch.from_numpy(tokens), torch.from_numpy(positions), tuple(segments), tuple(rows))
