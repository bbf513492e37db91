"""What `hf` promises beyond the contract: its own copy, one reading of a prompt, shrinking batches, clear refusals."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from mopd_backends.hf.config import HfConfig
from mopd_backends.hf.generator import build
from mopd_core.errors import GeneratorError
from mopd_core.testing.generators import ModuleWeights, ids_of
from mopd_core.types import Prompt, Sampling

SAMPLING = Sampling(max_tokens=10, stop_ids=(1, 2, 3, 4))


@pytest.fixture
def prompts(four_prompts):
    return four_prompts


def record_shapes(model):
    """[rows, tokens] of every forward pass from now on."""
    shapes = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return shapes


def groups_of(prompts, size):
    return [[100 * p + g for g in range(size)] for p in range(len(prompts))]


def test_a_prompt_is_read_once_for_its_group(qwen3, prompts, new_generator):
    shapes = record_shapes(qwen3)
    new_generator(qwen3).generate(prompts, Sampling(max_tokens=4), seeds=groups_of(prompts, 8))
    assert shapes == [(4, 11), (32, 1), (32, 1), (32, 1)]


def test_rollouts_that_stopped_leave_the_batch(qwen3, prompts, new_generator):
    shapes = record_shapes(qwen3)
    groups = new_generator(qwen3).generate(prompts, SAMPLING, seeds=groups_of(prompts, 8))
    lengths = [len(rollout.token_ids) for group in groups for rollout in group]
    assert len(set(lengths)) > 3
    assert len(shapes) == max(lengths)
    for read, (rows, _) in enumerate(shapes[1:], start=1):
        going = sum(length > read for length in lengths)
        assert 0.8 * rows <= going <= rows


@pytest.mark.parametrize("batch_size", [1, 3, 8, 20])
def test_the_batch_size_does_not_change_rollouts(qwen3, prompts, new_generator, batch_size):
    seeds = groups_of(prompts, 8)
    expected = new_generator(qwen3).generate(prompts, SAMPLING, seeds=seeds)
    groups = new_generator(qwen3, batch_size).generate(prompts, SAMPLING, seeds=seeds)
    assert ids_of(groups) == ids_of(expected)


def test_the_sampled_tokens_follow_the_model(qwen3, prompts, new_generator):
    """6,000 first tokens against the model: chi-square with 39 degrees of freedom exceeds 100 once in 3 million."""
    seeds = [list(range(6000))]
    (group,) = new_generator(qwen3, 6000).generate(prompts[:1], Sampling(max_tokens=1, temperature=2.0), seeds=seeds)
    with torch.no_grad():
        logits = qwen3(input_ids=torch.from_numpy(prompts[0].token_ids).long()[None]).logits[0, -1]
    expected = 6000 * (logits / 2.0).double().softmax(-1).numpy()
    counts = np.bincount([rollout.token_ids[0] for rollout in group], minlength=len(expected))
    assert expected.min() > 5
    assert ((counts - expected) ** 2 / expected).sum() < 100


def test_text_leaves_special_tokens_out(qwen3, prompts, new_generator):
    groups = new_generator(qwen3).generate(prompts, SAMPLING, seeds=groups_of(prompts, 8))
    ended = [rollout for group in groups for rollout in group if rollout.token_ids[-1] == 1]
    assert ended
    for rollout in ended:
        assert rollout.finish_reason == "stop"
        assert rollout.text == " ".join(map(str, rollout.token_ids[:-1].tolist()))


def test_the_copy_leaves_the_trainers_attention_behind(qwen3, prompts, new_context, new_generator):
    calls = []

    def counting(*args, **kwargs):
        calls.append(1)
        return sdpa_attention_forward(*args, **kwargs)

    seeds = groups_of(prompts, 2)
    expected = ids_of(new_generator(qwen3).generate(prompts, SAMPLING, seeds=seeds))
    AttentionInterface.register("counting", counting)
    qwen3.set_attn_implementation("counting")
    groups = build(HfConfig(), new_context(qwen3)).generate(prompts, SAMPLING, seeds=seeds)
    assert ids_of(groups) == expected
    assert calls == []
    assert qwen3.config._attn_implementation == "counting"


def test_training_the_student_does_not_reach_the_copy_until_a_sync(qwen3, prompts, new_context):
    generator = build(HfConfig(), new_context(qwen3))
    seeds = groups_of(prompts, 2)
    before = ids_of(generator.generate(prompts, SAMPLING, seeds=seeds))
    with torch.no_grad():
        for parameter in qwen3.parameters():
            parameter.neg_()
    assert ids_of(generator.generate(prompts, SAMPLING, seeds=seeds)) == before
    generator.sync_weights(ModuleWeights(qwen3), 1)
    assert ids_of(generator.generate(prompts, SAMPLING, seeds=seeds)) != before
    assert all(parameter.requires_grad for parameter in qwen3.parameters())


def test_rollouts_carry_version_0_before_a_sync_and_the_last_good_one_after_a_bad_one(qwen3, prompts, new_generator):
    generator = new_generator(copy.deepcopy(qwen3))
    (group,) = generator.generate(prompts[:1], SAMPLING, seeds=[[0]])
    assert group[0].version == 0
    generator.sync_weights(ModuleWeights(qwen3), 4)
    with pytest.raises(GeneratorError):
        generator.sync_weights(ModuleWeights(torch.nn.Linear(1, 1)), 5)
    (group,) = generator.generate(prompts[:1], SAMPLING, seeds=[[0]])
    assert group[0].version == 4


def test_a_prompt_too_long_for_the_model_is_refused_before_sampling(qwen3, prompts, new_generator):
    shapes = record_shapes(qwen3)
    with pytest.raises(GeneratorError, match=r"'p1' has 11 tokens; with 54 to sample that is 65.* at most 64"):
        new_generator(qwen3).generate(prompts, Sampling(max_tokens=54), seeds=groups_of(prompts, 1))
    assert shapes == []
    (group,) = new_generator(qwen3).generate(prompts[1:2], Sampling(max_tokens=53), seeds=[[0]])
    assert len(group[0].token_ids) == 53


def test_a_prompt_that_is_not_rendered_is_refused(qwen3, new_generator):
    with pytest.raises(GeneratorError, match="'bare' has no token ids"):
        new_generator(qwen3).generate([Prompt("bare", ())], SAMPLING, seeds=[[0]])


def test_a_closed_generator_says_so(qwen3, prompts, new_generator):
    generator = new_generator(qwen3)
    generator.close()
    with pytest.raises(GeneratorError, match="closed"):
        generator.generate(prompts, SAMPLING, seeds=groups_of(prompts, 1))


def test_a_rollout_comes_when_it_ends(qwen3, prompts, new_generator):
    """One of n tokens comes after n passes of the model, while longer ones are still to be sampled."""
    shapes = record_shapes(qwen3)
    lengths = []
    for _, _, rollout in new_generator(qwen3).stream(prompts, SAMPLING, seeds=groups_of(prompts, 8)):
        assert len(rollout.token_ids) == len(shapes)
        lengths.append(len(rollout.token_ids))
    assert len(lengths) == 32
    assert len(set(lengths)) > 3


def test_a_stream_that_is_left_leaves_no_mode_behind(qwen3, prompts, new_generator):
    stream = new_generator(qwen3).stream(prompts, SAMPLING, seeds=groups_of(prompts, 8))
    next(stream)
    assert not torch.is_inference_mode_enabled()
    stream.close()
    assert not torch.is_inference_mode_enabled()
