"""Adapters: the base stays, they are trained, the average is of what they do, and what is saved is the merged model."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from mopd_core.bundled.chat import build_tokenizer
from mopd_core.config.sections import LoraConfig, TrainingConfig
from mopd_core.errors import CheckpointError, ConfigError
from mopd_core.output_head import Head
from mopd_core.teachers.ema import EmaTeacher
from mopd_core.testing.teachers import teacher_sequences, train_a_little
from mopd_core.testing.tiny import tiny_config, tiny_student
from mopd_core.training.checkpoint import Checkpoints, TrainerState
from mopd_core.training.lora import add_adapters, merged_weights
from mopd_core.training.models import StudentWeights, flat_hidden
from mopd_core.training.optimiser import build_optimiser

LORA = LoraConfig(rank=2, alpha=6.0)
UNTIED = {"config_type": LlamaConfig, "tie_word_embeddings": False}


def adapted(seed=0, lora=LORA, **options):
    """A student with adapters, and the model that it was before."""
    base = tiny_student(tiny_config(vocab_size=300, **options))
    student = copy.deepcopy(base)
    add_adapters(student, lora, seed)
    return student, base


def adapters(student):
    return {name: parameter for name, parameter in student.named_parameters() if parameter.requires_grad}


def move(student, seed=1):
    """Move the adapters as an optimiser step would."""
    train_a_little(torch.nn.ParameterList(adapters(student).values()), seed)


@torch.no_grad()
def logits(model):
    return Head(model)(flat_hidden(model, teacher_sequences()))


def test_new_adapters_change_nothing_and_only_they_are_trained():
    student, base = adapted()
    torch.testing.assert_close(logits(student), logits(base), rtol=0, atol=0)
    assert all("lora_" in name for name in adapters(student))
    assert len(adapters(student)) == 2 * 7 * 2, "A and B of seven linear layers in each of two blocks"
    trained = {id(p) for group in build_optimiser(student, TrainingConfig()).param_groups for p in group["params"]}
    assert trained == {id(parameter) for parameter in adapters(student).values()}


def test_merged_weights_are_the_base_and_the_scaled_product():
    """W + (alpha / rank) B A, here with 6 / 2 = 3, under the names and in the order of the base."""
    student, base = adapted()
    move(student)
    merged = dict(merged_weights(student))
    assert list(merged) == [name for name, _ in base.named_parameters()]
    name = "model.layers.1.mlp.up_proj"
    own = dict(student.named_parameters())
    product = own[f"{name}.lora_B.default.weight"] @ own[f"{name}.lora_A.default.weight"]
    torch.testing.assert_close(merged[f"{name}.weight"], dict(base.named_parameters())[f"{name}.weight"] + 3 * product)
    assert torch.equal(merged["model.embed_tokens.weight"], base.model.embed_tokens.weight)


def test_the_merged_model_computes_what_the_student_does():
    student, base = adapted()
    move(student)
    before = logits(base)
    with torch.no_grad():
        for parameter, (_, value) in zip(base.parameters(), StudentWeights(student).named_tensors(), strict=True):
            parameter.copy_(value)
    torch.testing.assert_close(logits(base), logits(student))
    assert (logits(base) - before).abs().max() > 1e-2


def test_the_draws_depend_on_the_seed_alone():
    one, other, third = (list(adapters(adapted(seed)[0]).values()) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, third, strict=True))
    student, state = tiny_student(), torch.random.get_rng_state()
    add_adapters(student, LORA, 3)
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's draws change"


def test_the_average_is_of_merged_weights_and_not_of_factors():
    """From W, with a student that stays at W + P: after t steps W + (1 - 0.75^t) P. Factors would give the square."""
    student, base = adapted()
    teacher = EmaTeacher(base, 0.25)
    move(student)
    goal, start = dict(merged_weights(student)), dict(base.named_parameters())
    for step in range(1, 4):
        teacher.update(student)
        share = 1 - 0.75**step
        for name, mine in teacher.state_dict().items():
            torch.testing.assert_close(mine, start[name] + share * (goal[name] - start[name]))
    name = "model.layers.0.self_attn.q_proj.weight"
    squared = start[name] + share**2 * (goal[name] - start[name])
    assert (teacher.state_dict()[name] - squared).abs().max() > 1e-3


@pytest.fixture
def make_checkpoints(tmp_path):
    tokenizer = build_tokenizer(["12 + 3"] * 5, 280, max_length=128)

    def make(seed=0):
        student, base = adapted(seed)
        optimiser = build_optimiser(student, TrainingConfig())
        return Checkpoints(tmp_path, student, tokenizer, optimiser, EmaTeacher(base, 0.3))

    return make


def take_a_step(checkpoints, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapters(checkpoints.student).values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    checkpoints.optimiser.step()
    checkpoints.optimiser.zero_grad()
    checkpoints.teacher.update(checkpoints.student)


def test_a_checkpoint_is_the_merged_model_and_resumes_bit_for_bit(make_checkpoints):
    saved = make_checkpoints()
    for step in range(3):
        take_a_step(saved, step)
    folder = saved.save(TrainerState(step=3))
    exported = AutoModelForCausalLM.from_pretrained(folder)
    assert type(exported).__name__ == "Qwen3ForCausalLM"
    for name, value in merged_weights(saved.student):
        assert torch.equal(dict(exported.named_parameters())[name], value)
    fresh = make_checkpoints(seed=5)
    assert fresh.load(folder) == TrainerState(step=3)
    for checkpoints in (saved, fresh):
        take_a_step(checkpoints, 9)
    for one, other in ((saved.student, fresh.student), (saved.teacher.model, fresh.teacher.model)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_adapters_of_another_model_are_an_error(make_checkpoints):
    folder = make_checkpoints().save(TrainerState(step=1))
    (folder / "trainer" / "adapters.safetensors").unlink()
    with pytest.raises(CheckpointError, match="does not fit this run"):
        make_checkpoints().load(folder)


def test_an_untied_head_can_have_an_adapter():
    student, base = adapted(lora=LoraConfig(rank=2, target_modules=("lm_head",)), **UNTIED)
    move(student)
    assert list(adapters(student)) == ["lm_head.lora_A.default.weight", "lm_head.lora_B.default.weight"]
    assert not torch.equal(dict(merged_weights(student))["lm_head.weight"], base.lm_head.weight)


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens"])
def test_an_adapter_on_a_tied_weight_is_refused(name):
    with pytest.raises(ConfigError, match=r"model\.lora\.target_modules names the embeddings or the output head"):
        adapted(lora=LoraConfig(target_modules=(name,)))


def test_names_that_the_model_does_not_have_are_refused():
    with pytest.raises(ConfigError, match=r"model\.lora\.target_modules \('nothing',\) cannot be used"):
        adapted(lora=LoraConfig(target_modules=("nothing",)))


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install 'mopd\[lora\]'"):
        adapted()
