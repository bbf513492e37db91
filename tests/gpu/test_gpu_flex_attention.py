"""FlexAttention on a GPU, forward and backward, beside the masked way in fp32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mopd_core.training import flex_attention
from mopd_core.training.attention import masked_attention
from mopd_core.training.layout import lay_out


def draw_layout(seed):
    """Two groups packed together, one of them three deep."""
    draw = np.random.default_rng(seed)

    def ids(count):
        return draw.integers(0, 1000, count, dtype=np.int32)

    root, branch, other = ids(300), ids(90), ids(40 + seed)
    sequences = [np.concatenate([root, branch, ids(n)]) for n in (200, 31)]
    sequences += [np.concatenate([root, ids(77)]), *(np.concatenate([other, ids(n)]) for n in (129, 1))]
    return lay_out(sequences).to(torch.device("cuda"))


@pytest.mark.parametrize("head_size", [32, 128])
@pytest.mark.parametrize("of_keys", [1, 2, 4])
@pytest.mark.parametrize("window", [None, 50])
def test_equals_the_masked_way(window, of_keys, head_size):
    """Several lengths one after the other, as micro-batches come. bf16 keeps 8 bits."""
    for seed in range(3):
        layout = draw_layout(seed)
        torch.manual_seed(seed)
        shapes = [(1, heads, len(layout), head_size) for heads in (4, of_keys, of_keys, 4)]
        *states, upstream = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in shapes]
        assert flex_attention.supports(states[0], states[2], 0.0)
        found = [each.clone().requires_grad_() for each in states]
        exact = [each.float().requires_grad_() for each in states]
        output = flex_attention.flex_attention(*found, layout, None, window)
        expected = masked_attention(*exact, layout, None, 0.0, window)
        gradients = torch.autograd.grad(output, found, upstream)
        wanted = torch.autograd.grad(expected, exact, upstream.float())
        for one, other in zip((output, *gradients), (expected, *wanted), strict=True):
            assert (one.float() - other).abs().max() <= 0.02 * other.abs().max()


def test_few_kernels_serve_all_lengths():
    """Of twelve; else a run would compile for ever."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    flex_attention._compiled.cache_clear()
    for seed in range(12):
        layout = draw_layout(seed)
        states = [torch.randn(1, 2, len(layout), 32, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
        flex_attention.flex_attention(*states, layout, None, None)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3
