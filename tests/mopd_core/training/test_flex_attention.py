"""The mask of a flat row, its blocks, and that FlexAttention with it is what the masked way computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from mopd_core.training import flex_attention
from mopd_core.training.attention import masked_attention
from mopd_core.training.layout import lay_out

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without")

CPU = torch.device("cpu")
WINDOWS = [None, 1, 6, 40]


@pytest.fixture
def sequences(draw_ids):
    """Two groups packed together, one of them three deep, and lengths on neither side of a block's boundary."""
    root, branch, other = draw_ids(150, 1), draw_ids(30, 2), draw_ids(40, 3)
    of_one = [np.concatenate([root, branch, draw_ids(n, n)]) for n in (70, 20)]
    of_other = [np.concatenate([other, draw_ids(n, n)]) for n in (17, 33, 1)]
    return [*of_one, np.concatenate([root, draw_ids(25, 9)]), *of_other]


@pytest.fixture
def layout(sequences):
    layout = lay_out(sequences)
    assert len(layout) == 150 + 30 + 70 + 20 + 25 + 40 + 17 + 33 + 1
    return layout


def dense(layout, window):
    """The mask [n, n], all at once."""
    rows = torch.arange(len(layout))
    zero = torch.zeros((), dtype=torch.int64)
    return flex_attention.sight(layout, window)(zero, zero, rows[:, None], rows[None, :])


@pytest.mark.parametrize("window", WINDOWS)
def test_a_token_sees_its_own_sequence_up_to_itself(layout, window):
    """By the definition: every sequence alone is causal, and within the window."""
    mask = dense(layout, window)
    expected = torch.zeros_like(mask)
    for rows in layout.rows:
        distance = torch.arange(len(rows))[:, None] - torch.arange(len(rows))
        expected[rows[:, None], rows] = (distance >= 0) & (distance < (window or len(rows)))
    assert torch.equal(mask, expected)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("strip", [1, 2**25])
def test_blocks_are_those_of_the_whole_mask(layout, window, strip, monkeypatch):
    monkeypatch.setattr(flex_attention, "STRIP_ENTRIES", strip)
    n, size = len(layout), flex_attention.BLOCK
    found = flex_attention.block_mask(flex_attention.sight(layout, window), n, CPU)
    expected = torch.nn.attention.flex_attention.create_block_mask(
        flex_attention.sight(layout, window), 1, 1, n, n, device="cpu", BLOCK_SIZE=size
    )
    assert torch.equal(found.to_dense(), expected.to_dense())
    assert torch.equal(found.full_kv_num_blocks, expected.full_kv_num_blocks)
    assert torch.equal(found.full_q_num_blocks, expected.full_q_num_blocks)


def draw(layout, heads, of_keys, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, count, len(layout), 8) for count in (heads, of_keys, of_keys)]
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("of_keys", [1, 2, 4])
@pytest.mark.parametrize("window", WINDOWS)
def test_the_forward_pass_is_the_masked_ways(layout, window, of_keys):
    states = draw(layout, 4, of_keys)
    found = flex_attention.flex_attention(*states, layout, 0.3, window)
    torch.testing.assert_close(found, masked_attention(*states, layout, 0.3, 0.0, window), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_masks_gradients_are_the_masked_ways(layout, window):
    """torch has no backward pass of FlexAttention for CPUs; plain attention with the same mask has one."""
    gradients = []
    for attend in (
        lambda *states: scaled_dot_product_attention(*states, dense(layout, window), scale=0.3, enable_gqa=True),
        lambda *states: masked_attention(*states, layout, 0.3, 0.0, window),
    ):
        states = [each.requires_grad_() for each in draw(layout, 4, 2)]
        weights = torch.randn(1, 4, len(layout), 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        gradients.append(torch.autograd.grad((attend(*states) * weights).sum(), states))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_neighbours_do_not_see_each_other(layout):
    """A change in one group's keys leaves the other group as it was, to the last bit; one that may be seen does not."""
    query, key, value = draw(layout, 4, 2)
    before = flex_attention.flex_attention(query, key, value, layout, None, None)
    first, last = layout.rows[0], layout.rows[-1]
    value[:, :, last] += 1
    changed = (flex_attention.flex_attention(query, key, value, layout, None, None) != before).any(1).any(-1)[0]
    assert not changed[first].any()
    assert changed[last].all()


def test_a_leak_between_neighbours_would_be_seen(layout):
    """Planted: the last segment names the one before it as an ancestor."""
    *others, left, right = layout.segments
    leaking = replace(layout, segments=(*others, left, replace(right, ancestors=(*right.ancestors, left.span))))
    extra = dense(leaking, None) & ~dense(layout, None)
    assert extra.any()
    assert set(extra.nonzero()[:, 1].tolist()) <= set(range(left.start, left.start + left.length))


def test_one_mask_serves_all_layers(layout, monkeypatch):
    built = []
    build = flex_attention.block_mask
    monkeypatch.setattr(flex_attention, "block_mask", lambda *given: built.append(given) or build(*given))
    states = draw(layout, 4, 2)
    for window in (None, 6, None, 6):
        flex_attention.flex_attention(*states, layout, None, window)
    assert len(built) == 2
    assert set(layout.block_masks) == {None, 6}


def test_autocast_decides_the_dtype(layout):
    """A norm may leave fp32 queries beside bf16 values."""
    query, key, value = draw(layout, 4, 2, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        output = flex_attention.flex_attention(query, key, value.bfloat16(), layout, None, None)
    assert output.dtype == torch.bfloat16


def test_a_cpu_does_not_take_it(layout):
    query, _, value = draw(layout, 4, 2, torch.bfloat16)
    assert not flex_attention.supports(query, value, 0.0)
