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

from mopd_core.training.layout import FlatSequences, Segment

NAME = "mopd_flat"

UNSUPPORTED = ("softcap", "s_aux", "sinks", "position_bias", "indices", "block_indices")
"""Arguments by which some families change what attention computes: soft-capped scores, sinks, biases, sparse keys."""


def _mask(layout: FlatSequences, segment: Segment, window: int | None, device: torch.device) -> Tensor | None:
    """[length, offset + length] bool, True where a query may look; None where plain causality says the same."""
    keys = segment.offset + segment.length
    if segment.offset == 0 and (window is None or keys <= window):
        return None
    key = (segment.length, keys, window)
    if key not in layout.masks:
        query = torch.arange(segment.offset, keys, device=device)[:, None]
        seen = torch.arange(keys, device=device)[None, :]
        mask = seen <= query
        layout.masks[key] = mask if window is None else mask & (query - seen < window)
    return layout.masks[key]


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
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    outputs = []
    for segment in flat_layout.segments:
        spans = (*segment.ancestors, segment.span)
        keys = torch.cat([key[:, :, span] for span in spans], dim=2) if segment.ancestors else key[:, :, segment.span]
        values = (
            torch.cat([value[:, :, span] for span in spans], dim=2) if segment.ancestors else value[:, :, segment.span]
        )
        mask = _mask(flat_layout, segment, sliding_window, query.device)
        outputs.append(
            functional.scaled_dot_product_attention(
                query[:, :, segment.span], keys, values, mask, dropout, is_causal=mask is None, scale=scaling
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2), None


AttentionInterface.register(NAME, flat_attention)
