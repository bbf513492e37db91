"""Attention over a prefix tree on a CPU: each segment with itself, each family of siblings with what it shares.

The two parts of a token's attention are joined by their log-sum-exps, in the forward pass and in the backward pass. So
no mask is needed, nothing is computed that causality hides, and shared keys are read once for all siblings together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mopd_core.training.layout import FlatSequences

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def supports(query: Tensor, value: Tensor, dropout: float) -> bool:
    """Whether torch's kernel can take these; it has no other way to tell the log-sum-exp."""
    return query.device.type == "cpu" and query.shape[-1] == value.shape[-1] and dropout == 0.0


def tree_attention(query: Tensor, key: Tensor, value: Tensor, layout: FlatSequences, scaling: float | None) -> Tensor:
    """query [1, H, n, d], key and value [1, Hkv, n, d] of a flat row; returns [1, H, n, d]. No window, no dropout.

    Computes in the dtype of autocast, as torch's own attention does: autocast does not reach what `apply` calls.
    """
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (states.to(torch.get_autocast_dtype("cpu")) for states in (query, key, value))
    groups = key.shape[1]
    repeats = query.shape[1] // groups
    run: Any = _TreeAttention.apply
    # Heads that share keys are one batch after the other, so that keys are read where they are and not repeated.
    output: Tensor = run(
        query[0].view(groups, repeats, *query.shape[2:]).transpose(0, 1),
        key.expand(repeats, -1, -1, -1),
        value.expand(repeats, -1, -1, -1),
        layout,
        scaling,
    )
    return output.transpose(0, 1).flatten(0, 1)[None]


def _parts(layout: FlatSequences) -> Iterator[tuple[slice, tuple[slice, ...], bool]]:
    """Spans of queries, the spans of their keys, and whether causality holds between them."""
    for segment in layout.segments:
        yield segment.span, (segment.span,), True
    for ancestors, children in layout.families():
        yield children, ancestors, False


def _gather(states: Tensor, spans: tuple[slice, ...]) -> Tensor:
    """[..., n, d] to the rows of the spans."""
    parts = [states[:, :, span] for span in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: FlatSequences, scaling: float | None
    ) -> Tensor:
        output = torch.empty_like(query)
        total = query.new_empty(query.shape[:3], dtype=torch.promote_types(query.dtype, torch.float32))
        for queries, keys, is_causal in _parts(layout):
            part, logsumexp = _flash(
                query[:, :, queries], _gather(key, keys), _gather(value, keys), 0.0, is_causal, scale=scaling
            )
            if is_causal:
                output[:, :, queries], total[:, :, queries] = part, logsumexp
            else:
                share = torch.sigmoid(logsumexp - total[:, :, queries])
                output[:, :, queries].lerp_(part, share[..., None].to(part.dtype))
                total[:, :, queries] = torch.logaddexp(total[:, :, queries], logsumexp)
        ctx.save_for_backward(query, key, value, output, total)
        ctx.layout, ctx.scaling = layout, scaling
        return output

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """With the whole output and log-sum-exp, the kernel's backward of a part is the part of the whole's."""
        query, key, value, output, total = ctx.saved_tensors
        gradients = [torch.zeros_like(states) for states in (query, key, value)]
        of_query, of_key, of_value = gradients
        for queries, keys, is_causal in _parts(ctx.layout):
            part_of_query, part_of_key, part_of_value = _flash_backward(
                upstream[:, :, queries],
                query[:, :, queries],
                _gather(key, keys),
                _gather(value, keys),
                output[:, :, queries],
                total[:, :, queries],
                0.0,
                is_causal,
                scale=ctx.scaling,
            )
            of_query[:, :, queries] += part_of_query
            start = 0
            for span in keys:
                part = slice(start, start + span.stop - span.start)
                of_key[:, :, span] += part_of_key[:, :, part]
                of_value[:, :, span] += part_of_value[:, :, part]
                start = part.stop
        return (*gradients, None, None)
