"""Which models share prefixes, what becomes of those that cannot, and that `Head` is their head."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    Cohere2Config,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    PhimoeConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
)

from mopd_core.config.sections import ModelConfig, TrainingConfig
from mopd_core.errors import ModelError
from mopd_core.output_head import Head
from mopd_core.testing.tiny import tiny_config, tiny_student
from mopd_core.training import models
from mopd_core.training.components import model_length
from mopd_core.training.layout import lay_out
from mopd_core.training.models import StudentWeights, check_flat_forward, flat_hidden

CPU = torch.device("cpu")
MIXED = ["sliding_attention", "full_attention"]


@pytest.mark.parametrize(
    "config",
    [
        tiny_config(Qwen3Config),
        tiny_config(Qwen3Config, tie_word_embeddings=False, attention_bias=True),
        tiny_config(LlamaConfig),
        tiny_config(MistralConfig, sliding_window=6),
        tiny_config(MistralConfig, sliding_window=4096),
        tiny_config(Gemma3TextConfig, sliding_window=6, layer_types=MIXED),
        tiny_config(Gemma3TextConfig, sliding_window=512, layer_types=MIXED, final_logit_softcapping=1.5),
        tiny_config(GraniteConfig, logits_scaling=4.0),
        tiny_config(CohereConfig, logit_scale=0.25),
        tiny_config(Cohere2Config, logit_scale=0.25, sliding_window=6, layer_types=MIXED),
        tiny_config(Qwen3MoeConfig, num_experts=4, moe_intermediate_size=16, num_experts_per_tok=2),
    ],
    ids=lambda config: type(config).__name__,
)
def test_families_that_share_prefixes(config, plain, draw_ids):
    model = tiny_student(config)
    check_flat_forward(model)
    assert model.config._attn_implementation == "mopd_flat"
    ids = draw_ids(30)
    with torch.no_grad():
        flat = Head(model)(flat_hidden(model, lay_out([ids])))
        expected = plain(model, ids, "logits")
    torch.testing.assert_close(flat, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "option", [{"logits_scaling": 4.0}, {"logit_scale": 0.25}, {"final_logit_softcapping": 1.5}], ids=str
)
def test_the_heads_options_matter(option, draw_ids):
    """The families above would pass with a plain head too if their logits were small."""
    config_type = {"logits_scaling": GraniteConfig, "logit_scale": CohereConfig}.get(next(iter(option)))
    model = tiny_student(tiny_config(config_type or Gemma3TextConfig, **option))
    hidden = flat_hidden(model, lay_out([draw_ids(30)]))
    assert not torch.allclose(Head(model)(hidden), model.get_output_embeddings()(hidden), atol=0.1)


class OtherHead(Qwen3ForCausalLM):
    """Triples its logits, which no config field says."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * 3
        return output


def with_time_convolution(model):
    """The model with each layer's output leaning on the token before: mixing that no attention sees."""

    def lean(module, inputs, output):
        return output + 0.05 * torch.nn.functional.pad(output, (0, 0, 1, -1))

    for layer in model.get_decoder().layers:
        layer.mlp.register_forward_hook(lean)
    return model


def with_other_head(model):
    model.__class__ = OtherHead
    return model


UNSHARED = {
    "convolution": (lambda: with_time_convolution(tiny_student()), "logits of shared sequences differ by"),
    "sinks": (lambda: tiny_student(tiny_config(GptOssConfig, num_local_experts=4)), "uses s_aux"),
    "soft-capped scores": (lambda: tiny_student(tiny_config(Gemma2Config)), "uses softcap"),
    "window by mask alone": (lambda: tiny_student(tiny_config(PhimoeConfig, sliding_window=64)), "span of their"),
    "state space": (lambda: tiny_student(tiny_config(MambaConfig, state_size=4, expand=1, time_step_rank=2)), "Mamba"),
}


@pytest.mark.parametrize("name", UNSHARED)
def test_models_that_cannot_share_compute_every_sequence_whole(name, draw_ids, caplog):
    """Their own forward, value for value, and gradient for gradient."""
    make, reason = UNSHARED[name]
    model = make()
    models._warn_unshared.cache_clear()
    with caplog.at_level(logging.WARNING):
        check_flat_forward(model)
        check_flat_forward(make())
    (said,) = [record.getMessage() for record in caplog.records if "cannot share prefixes" in record.getMessage()]
    assert reason in said
    prefix = draw_ids(20)
    sequences = [np.concatenate([prefix, draw_ids(n, n)]) for n in (3, 9)]
    layout = lay_out(sequences)
    assert len(layout) == 20 + 3 + 9
    flat = flat_hidden(model, layout)
    expected = [
        model.get_decoder()(torch.from_numpy(ids).long()[None], use_cache=False).last_hidden_state[0]
        for ids in sequences
    ]
    found = gradient(model, [flat[rows] for rows in layout.rows])
    torch.testing.assert_close(found, gradient(model, expected), rtol=1e-3, atol=1e-3)
    for rows, hidden in zip(layout.rows, expected, strict=True):
        torch.testing.assert_close(flat[rows], hidden, rtol=1e-4, atol=1e-4)


def gradient(model, hidden):
    """Of the embeddings, by the sum of squares of some sequences' hidden states."""
    (found,) = torch.autograd.grad(
        sum(states.square().sum() for states in hidden), model.get_input_embeddings().weight, retain_graph=True
    )
    return found / found.abs().max()


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_a_model_with_an_unknown_head_is_refused(scale):
    """The tolerance is relative: a model fresh from its initialisation, with small logits, is held to the same."""
    model = with_other_head(tiny_student())
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(scale)
    with pytest.raises(ModelError, match=r"output head is not one that we know .*differ by"):
        check_flat_forward(model)


def test_names_for_engines_are_those_of_the_checkpoint(tmp_path):
    """transformers holds the experts of a layer as one weight, and checkpoints one by one."""
    student = tiny_student(tiny_config(Qwen3MoeConfig, num_experts=4, moe_intermediate_size=16, num_experts_per_tok=2))
    student.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    given = dict(StudentWeights(student).named_tensors())
    assert given.keys() == saved.keys() != dict(StudentWeights(student).named_parameters()).keys()
    assert all(torch.equal(given[name], tensor) for name, tensor in saved.items())


def test_both_ways_through_a_model_agree_in_bf16_too():
    assert models._difference(tiny_student(), "sdpa", torch.bfloat16) is None


@pytest.mark.parametrize(
    ("rope", "longest"),
    [
        ({"rope_type": "default"}, 64),
        ({"rope_type": "longrope", "original_max_position_embeddings": 32}, 32),
        ({"rope_type": "dynamic", "original_max_position_embeddings": 48}, 48),
        ({"rope_type": "dynamic"}, 64),
    ],
    ids=["default", "longrope", "dynamic", "dynamic without original"],
)
def test_positions_that_depend_on_the_longest_neighbour_bound_the_length(rope, longest):
    config = SimpleNamespace(max_position_embeddings=64, rope_parameters=rope)
    assert model_length(SimpleNamespace(config=config)) == longest


def test_tied_weights_come_once():
    tied = dict(StudentWeights(tiny_student()).named_tensors())
    untied = dict(StudentWeights(tiny_student(tiny_config(tie_word_embeddings=False))).named_tensors())
    assert untied.keys() - tied.keys() == {"lm_head.weight"}
    assert not any(tensor.requires_grad for tensor in tied.values())


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere", "~/nowhere", "runs/nowhere/best"])
def test_a_missing_folder_is_one_clear_line(path):
    for load in (
        lambda: models.load_model(path, CPU),
        lambda: models.load_frozen(path, CPU),
        lambda: models.load_tokenizer(ModelConfig(path=path)),
    ):
        with pytest.raises(ModelError) as caught:
            load()
        assert str(caught.value).startswith(f"there is no model folder '{path}'; ")
        assert "\n" not in str(caught.value)


def test_a_home_or_relative_folder_is_found_and_a_name_stays_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "runs/a/best"):
        (tmp_path / name).mkdir(parents=True)
    assert models.resolve_path("~/mine") == str(tmp_path / "mine")
    assert models.resolve_path("runs/a/best") == "runs/a/best"
    assert models.resolve_path("organisation/model") == "organisation/model"
    assert models.resolve_path(models.resolve_path("bundled")) == models.resolve_path("bundled")


def test_a_model_in_the_home_folder_is_loaded_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").symlink_to(models.resolve_path("bundled"))
    assert models.load_tokenizer(ModelConfig(path="~/mine")).chat_template
    teacher = models.load_frozen("~/mine", CPU)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_teachers_revision_is_passed_on(monkeypatch):
    asked = []

    def from_pretrained(path, **options):
        asked.append((path, options["revision"]))
        return tiny_student()

    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    models.load_frozen("organisation/model", CPU, "v2")
    models.load_frozen("organisation/model", CPU)
    assert asked == [("organisation/model", "v2"), ("organisation/model", None)]


@pytest.mark.parametrize(
    "config",
    [
        tiny_config(LlamaConfig, attention_dropout=0.5),
        tiny_config(GPT2Config, resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5),
        tiny_config(OPTConfig, ffn_dim=32, word_embed_proj_dim=16, dropout=0.5, layerdrop=0.5),
        tiny_config(MixtralConfig, num_local_experts=2, router_jitter_noise=0.5),
    ],
    ids=lambda config: type(config).__name__,
)
def test_checkpointing_recomputes_and_brings_no_chance(config, draw_ids):
    model = tiny_student(config)
    layout = lay_out([draw_ids(30)])
    expected = flat_hidden(model, layout)
    models.enable_checkpointing(model)
    calls = []
    norm = next(module for name, module in model.named_modules() if ".0." in name and ("norm" in name or "ln_" in name))
    norm.register_forward_hook(lambda *_: calls.append(1))
    before = torch.get_rng_state()
    hidden = flat_hidden(model, layout)
    hidden.square().sum().backward()
    assert torch.equal(hidden, expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(calls) == 2


def test_a_folder_without_a_model_is_one_clear_line(tmp_path):
    with pytest.raises(ModelError, match=r"cannot load the weights of model .*Give a folder"):
        models.load_model(str(tmp_path), CPU)


def test_precision_and_device_follow_the_config():
    cpu = models.choose_device(TrainingConfig(device="cpu"))
    assert cpu.type == "cpu"
    assert models.choose_dtype(TrainingConfig(), cpu) == torch.float32
    assert models.choose_dtype(TrainingConfig(), torch.device("cuda")) == torch.bfloat16
    assert models.choose_dtype(TrainingConfig(precision="bf16"), cpu) == torch.bfloat16
    assert models.choose_dtype(TrainingConfig(precision="fp32"), torch.device("cuda")) == torch.float32


def test_everything_that_ends_a_response_stops_it():
    model = tiny_student()
    model.generation_config.eos_token_id = [5, 3]
    assert models.stop_ids(model, type("Tokenizer", (), {"eos_token_id": 7})()) == (3, 5, 7)
    model.generation_config.eos_token_id = None
    assert models.stop_ids(model, type("Tokenizer", (), {"eos_token_id": None})()) == ()
