"""Attention over a prefix tree of segments, as an attention implementation that transformers' models can be given.

Works for every architecture whose layers mix tokens through transformers' attention interface alone (full,
sliding-window, grouped-query). `models.check_flat_forward` tells, by running it, whether a model is one of those.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from mopd_core.training import flex_attention, tree_attention
from mopd_core.training.layout import FlatSequences, Segment

NAME = "mopd_flat"

UNSUPPORTED = ("softcap", "s_aux", "sinks", "position_bias", "indices", "block_indices")
"""Arguments by which some families change what attention computes: soft-capped scores, sinks, biases, sparse keys."""


def flat_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    flat_layout: FlatSequences,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """query [1, H, n, d], key and value [1, Hkv, n, d] of one flat row; returns [1, n, H, d].

    `others` is what transformers hands to every attention implementation; raises `ValueError` for an argument in it
    that would change the result.
    """
    given = [name for name in UNSUPPORTED if others.get(name) is not None]
    if given:
        raise ValueError(f"its attention uses {', '.join(given)}")
    flat_layout.windows.add(sliding_window)
    longest = max((segment.offset + segment.length for segment in flat_layout.segments), default=0)
    window = None if sliding_window is None or sliding_window >= longest else sliding_window
    if window is None and tree_attention.supports(query, value, dropout):
        output = tree_attention.tree_attention(query, key, value, flat_layout, scaling)
    elif flex_attention.supports(query, value, dropout):
        output = flex_attention.flex_attention(query, key, value, flat_layout, scaling, window)
    else:
        output = masked_attention(query, key, value, flat_layout, scaling, dropout, window)
    return output.transpose(1, 2), None


def masked_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: FlatSequences,
    scaling: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    """query [1, H, n, d], key and value [1, Hkv, n, d]; returns [1, H, n, d].

    A segment at a time, with all that it may look at.
    """
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    outputs = []
    for segment in layout.segments:
        spans = _in_sight(segment, window)
        keys = torch.cat([key[:, :, span] for span in spans], dim=2)
        values = torch.cat([value[:, :, span] for span in spans], dim=2)
        mask = _mask(layout, segment.length, keys.shape[2], window, query.device)
        outputs.append(
            functional.scaled_dot_product_attention(
                query[:, :, segment.span], keys, values, mask, dropout, is_causal=mask is None, scale=scaling
            )
        )
    return torch.cat(outputs, dim=2)


def _in_sight(segment: Segment, window: int | None) -> tuple[slice, ...]:
    """The spans that hold what some token of the segment may look at, in order; its own is the last."""
    left = segment.offset if window is None else min(segment.offset, window - 1)
    spans = [segment.span]
    for span in reversed(segment.ancestors):
        if left:
            spans.append(slice(max(span.start, span.stop - left), span.stop))
            left -= spans[-1].stop - spans[-1].start
    return tuple(reversed(spans))


def _mask(
    layout: FlatSequences, n_queries: int, n_keys: int, window: int | None, device: torch.device
) -> Tensor | None:
    """[n_queries, n_keys] bool, True where a query may look, the last key being the last query's own token.

    None where plain causality says the same.
    """
    if n_keys == n_queries and (window is None or n_keys <= window):
        return None
    shape = (n_queries, n_keys, window)
    if shape not in layout.masks:
        query = torch.arange(n_keys - n_queries, n_keys, device=device)[:, None]
        seen = torch.arange(n_keys, device=device)[None, :]
        mask = seen <= query
        layout.masks[shape] = mask if window is None else mask & (query - seen < window)
    return layout.masks[shape]


_uncompiled: Any = torch.compiler.disable
AttentionInterface.register(NAME, _uncompiled(flat_attention))  # Else a compiled block would be built for each layout.
