"""A layer with room holds what transformers' plain layer holds, and copies only when its room is used up."""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from mopd_backends.hf.cache import GrowingLayer, build_cache


def states(rows, tokens):
    return torch.randn(rows, 2, tokens, 4), torch.randn(rows, 2, tokens, 4)


def test_holds_what_the_plain_layer_holds():
    ours, plain = GrowingLayer(), DynamicLayer()
    rows = 5
    for tokens, kept in (
        (7, [0, 0, 1, 3, 4, 4]),
        (1, None),
        (70, [5, 2, 0]),
        (1, None),
        (1, [1]),
        (90, None),
        (1, None),
    ):
        new = states(rows, tokens)
        for ours_now, plain_now in zip(ours.update(*new), plain.update(*new), strict=True):
            assert torch.equal(ours_now, plain_now)
        if kept is not None:
            ours.reorder_cache(torch.tensor(kept))
            plain.reorder_cache(torch.tensor(kept))
            rows = len(kept)
        assert torch.equal(ours.keys, plain.keys)
        assert torch.equal(ours.values, plain.values)
        assert ours.get_seq_length() == plain.get_seq_length()
        assert ours.get_mask_sizes(1) == plain.get_mask_sizes(1)


def test_a_token_is_written_without_copying_the_past():
    layer = GrowingLayer()
    addresses = {layer.update(*states(3, 1))[0].data_ptr() for _ in range(60)}
    assert len(addresses) == 1


def test_keys_that_were_given_are_not_written_to():
    layer = GrowingLayer()
    keys, values = states(2, 3)
    before = keys.clone()
    layer.update(keys, values)
    layer.update(*states(2, 1))
    assert torch.equal(keys, before)


def test_sliding_layers_stay_transformers_own(gemma3):
    kinds = [type(layer) for layer in build_cache(gemma3.config).layers]
    assert kinds == [DynamicSlidingWindowLayer, DynamicSlidingWindowLayer, GrowingLayer]
