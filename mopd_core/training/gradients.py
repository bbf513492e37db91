"""Gradients of a whole step: summed over ranks that each hold a whole model, and scaled down to a longest norm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mopd_core.training.ranks import Ranks
from mopd_core.training.shards import whole

BUCKET_ENTRIES = 2**24
"""Entries that are summed at once: large enough that messages are few, small enough to be no second gradient."""


@torch.no_grad()
def sum_gradients(model: nn.Module, ranks: Ranks) -> None:
    """Add up every rank's gradients, in place. A parameter that has none anywhere keeps none. Collective.

    Once a step, after all of a rank's passes, so that ranks need not take equally many.
    """
    if ranks.count == 1:
        return
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    has = ranks.sum(torch.tensor([parameter.grad is not None for parameter in trained], dtype=torch.int32))
    found = [parameter for parameter, number in zip(trained, has.tolist(), strict=True) if number]
    for parameter in found:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets([parameter.grad for parameter in found if parameter.grad is not None]):
        flat = ranks.sum(torch.cat([gradient.flatten() for gradient in bucket]))
        totals = torch.split(flat, [gradient.numel() for gradient in bucket])
        for gradient, total in zip(bucket, totals, strict=True):
            gradient.copy_(total.view_as(gradient))


def clip(model: nn.Module, longest: float) -> float:
    """Scale all gradients down to a global norm of `longest`; the norm that they had. Collective where split."""
    return float(whole(nn.utils.clip_grad_norm_(model.parameters(), longest)))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of gradients of one dtype with about `BUCKET_ENTRIES` entries each."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(each.numel() for each in bucket) + gradient.numel() > BUCKET_ENTRIES
        if bucket and (full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
