"""Weights are copied by name, or the copy says what is wrong."""

from __future__ import annotations

import copy

import pytest
import torch

from mopd_backends.hf.weights import copy_weights
from mopd_core.errors import GeneratorError


def changed_tensors(model):
    """What a `WeightSource` of a student one step on would yield."""
    return {name: parameter.detach() + 1.0 for name, parameter in model.named_parameters()}


def test_every_weight_arrives_in_place_and_in_the_models_dtype(qwen3):
    target = copy.deepcopy(qwen3).bfloat16()
    addresses = [parameter.data_ptr() for parameter in target.parameters()]
    tensors = changed_tensors(qwen3)
    copy_weights(target, tensors.items())
    assert [parameter.data_ptr() for parameter in target.parameters()] == addresses
    for name, parameter in target.named_parameters():
        assert torch.equal(parameter, tensors[name].bfloat16())


@pytest.mark.parametrize("name", ["lm_head.weight", "model.embed_tokens.weight"])
def test_a_tied_weight_may_come_under_either_name(qwen3, name):
    tensors = changed_tensors(qwen3)
    tied = tensors.pop("model.embed_tokens.weight")
    copy_weights(qwen3, {**tensors, name: tied}.items())
    assert torch.equal(qwen3.lm_head.weight, tied)
    assert torch.equal(qwen3.model.embed_tokens.weight, tied)


def test_an_unknown_name_is_named(qwen3):
    with pytest.raises(GeneratorError, match=r"no weight called '_orig_mod.model.norm.weight'"):
        copy_weights(qwen3, {"_orig_mod.model.norm.weight": torch.zeros(16)}.items())


def test_a_missing_weight_is_named(qwen3):
    tensors = changed_tensors(qwen3)
    del tensors["model.norm.weight"]
    with pytest.raises(GeneratorError, match=r"1 weights did not come, 'model.norm.weight' among them"):
        copy_weights(qwen3, tensors.items())


def test_nothing_at_all_is_an_error(qwen3):
    with pytest.raises(GeneratorError, match="weights did not come"):
        copy_weights(qwen3, [])


def test_a_wrong_shape_is_named_and_never_broadcast(qwen3):
    tensors = changed_tensors(qwen3) | {"model.norm.weight": torch.zeros(1)}
    with pytest.raises(GeneratorError, match=r"'model.norm.weight' came with shape \(1,\).* holds \(16,\)"):
        copy_weights(qwen3, tensors.items())
