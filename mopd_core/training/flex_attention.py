"""Attention over a prefix tree on a GPU: one compiled kernel for the whole flat row (torch's FlexAttention).

A token sees what stands in its own segment or in an ancestor of it, up to its own position and within the layer's
window. Blocks of the mask that hold nothing are skipped, and full ones are not masked, so that the kernel computes
little that the tree hides. Keys that heads share are not repeated. A block mask is built once for a layout and window,
and serves all layers.

torch has no backward pass of it for CPUs, and no GPU was at hand when this was written: the forward pass is tested on a
CPU, the mask with gradients too, and the kernels in `tests/gpu` where there is a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import flex_attention as flex

from mopd_core.training.layout import FlatSequences

BLOCK = 128
"""Tokens of a block of the mask, each way; the size that torch's kernels are made for."""

STRIP_ENTRIES = 2**25
"""Most entries of the mask that are looked at together while blocks are sorted."""

MIN_HEAD_SIZE = 16
"""The kernels' matrix products have no smaller ones."""

HALF = (torch.bfloat16, torch.float16)

Mask = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""From batch, head, query and key numbers (they broadcast) to bool: whether the query may look at the key."""


def supports(query: Tensor, value: Tensor, dropout: float) -> bool:
    """Whether the kernel can take these. In fp32, where it has little to gain, the masked way is the exact one."""
    small = min(query.shape[-1], value.shape[-1]) < MIN_HEAD_SIZE
    return query.is_cuda and not small and dropout == 0.0 and _dtype(query) in HALF


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, layout: FlatSequences, scaling: float | None, window: int | None
) -> Tensor:
    """query [1, H, n, d], key and value [1, Hkv, n, d] of a flat row; returns [1, H, n, d]. No dropout.

    Computes in the dtype of autocast, as torch's other attention does. On a CPU it is not compiled, and without
    gradient.
    """
    query, key, value = (states.to(_dtype(states)) for states in (query, key, value))
    if window not in layout.block_masks:
        layout.block_masks[window] = block_mask(sight(layout, window), len(layout), query.device)
    run: Any = _compiled() if query.is_cuda else flex.flex_attention
    mask = layout.block_masks[window]
    output: Tensor = run(query, key, value, block_mask=mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1])
    return output


@cache
def _compiled() -> Any:
    """Once for all lengths: every micro-batch has another."""
    return torch.compile(flex.flex_attention, dynamic=True)


def _dtype(states: Tensor) -> torch.dtype:
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def sight(layout: FlatSequences, window: int | None) -> Mask:
    """Which token of the flat row may look at which.

    All that it needs is in tensors, the window too, so that one compiled kernel serves all layouts and layers.
    """
    device, number = layout.positions.device, {segment.start: n for n, segment in enumerate(layout.segments)}
    sees = torch.eye(len(number), dtype=torch.bool)
    for segment in layout.segments:
        for span in segment.ancestors:
            sees[number[segment.start], number[span.start]] = True
    lengths = torch.tensor([segment.length for segment in layout.segments])
    segments = torch.arange(len(number)).repeat_interleave(lengths).to(device)
    sees, positions = sees.to(device), layout.positions
    reach = torch.tensor(len(layout) if window is None else window, device=device)

    def may_look(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = positions[query] - positions[key]
        return sees[segments[query], segments[key]] & (distance >= 0) & (distance < reach)

    return may_look


def block_mask(mask: Mask, n: int, device: torch.device) -> flex.BlockMask:
    """The mask [n, n] sorted into blocks: empty ones, full ones and others.

    torch's own `create_block_mask` holds the whole mask at once, or compiles anew for it; this looks at strips.
    """
    blocks = -(-n // BLOCK)
    key = torch.arange(blocks * BLOCK, device=device)[None, :]
    zero = torch.zeros((), dtype=torch.int64, device=device)
    counts = torch.empty(blocks, blocks, dtype=torch.int32, device=device)
    rows = max(1, STRIP_ENTRIES // (blocks * BLOCK * BLOCK))
    for start in range(0, blocks, rows):
        stop = min(start + rows, blocks)
        query = torch.arange(start * BLOCK, stop * BLOCK, device=device)[:, None]
        seen = mask(zero, zero, query.clamp(max=n - 1), key.clamp(max=n - 1)) & (query < n) & (key < n)
        counts[start:stop] = seen.view(stop - start, BLOCK, blocks, BLOCK).sum((1, 3), dtype=torch.int32)
    full = counts == BLOCK * BLOCK
    return flex.BlockMask.from_kv_blocks(
        *_in_order((counts > 0) & ~full), *_in_order(full), BLOCK_SIZE=BLOCK, mask_mod=mask, seq_lengths=(n, n)
    )


def _in_order(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """For every row of blocks [blocks, blocks]: how many are chosen, and all of them with the chosen ones first."""
    indices = torch.argsort(chosen, dim=-1, descending=True, stable=True)
    return chosen.sum(-1, dtype=torch.int32)[None, None], indices.to(torch.int32)[None, None]
