from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

from mopd_core.bundled import MODELS, model_path
from mopd_core.bundled.families import FAMILIES
from mopd_core.bundled.measure import MAX_NEW_TOKENS, prompts_for, solve_rate
from mopd_core.bundled.pretrain import wording
from mopd_core.bundled.samples import Shape

TOKENIZERS = {name: AutoTokenizer.from_pretrained(path) for name, path in MODELS.items()}
MAIN_FAMILY = {"bundled": "chain", "bundled-programs": "programs"}
BY_FAMILY = {"chain": "bundled", "chain-long": "bundled", "programs": "bundled-programs"}


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(name):
    return TOKENIZERS[name]


@pytest.fixture(scope="module")
def model(name):
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(MODELS[name]).eval()


def test_the_default_model_is_the_one_for_chains():
    assert model_path() == MODELS["bundled"]


def test_it_is_small_enough_to_ship(name):
    assert sum(path.stat().st_size for path in MODELS[name].rglob("*")) < 2_000_000


def test_it_is_a_qwen3_that_stops_at_its_end_of_turn(model, tokenizer):
    assert isinstance(model, Qwen3ForCausalLM)
    assert model.dtype == torch.float32
    assert tokenizer.eos_token == "<|end|>"
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert len(tokenizer) == model.config.vocab_size


@given(name=st.sampled_from(sorted(MODELS)), text=st.text())
def test_any_text_survives_the_tokenizer(name, text):
    assert TOKENIZERS[name].decode(TOKENIZERS[name].encode(text, add_special_tokens=False)) == text


def test_a_digit_is_one_token(tokenizer):
    assert [tokenizer.decode(i) for i in tokenizer.encode("12 + 3 = 15")] == ["1", "2", " +", " 3", " =", " 1", "5"]


def test_chat_template_writes_turns_and_the_generation_header(tokenizer):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 {+} 2?\n"},
        {"role": "assistant", "content": "4"},
    ]
    whole = "<|system|>Be brief.<|end|><|user|>2 {+} 2?\n<|end|><|assistant|>4<|end|>"
    assert tokenizer.apply_chat_template(messages, tokenize=False) == whole
    prompt = tokenizer.apply_chat_template(messages[:2], tokenize=True, add_generation_prompt=True)["input_ids"]
    assert tokenizer.decode(prompt) == whole.removesuffix("4<|end|>")
    full = tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"]
    assert full == [*prompt, *tokenizer.encode("4", add_special_tokens=False), tokenizer.eos_token_id]


def test_an_unknown_role_is_refused(tokenizer):
    with pytest.raises(TemplateError, match="tool; allowed: system, user, assistant"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_and_answers_are_short(family):
    tokenizer = TOKENIZERS[BY_FAMILY[family]]
    for problem in FAMILIES[family].problems("train", 50, 0):
        assert 20 <= len(tokenizer.encode(problem.question)) <= 80
        assert len(tokenizer.encode(problem.worked().text)) < MAX_NEW_TOKENS


def test_it_learned_to_read_the_default_wording(name):
    """If this fails, the teacher's prompt was reworded: rebuild the model, or it will not understand its context."""
    assert json.loads((MODELS[name] / "provenance.json").read_text())["wording"] == wording()


def test_it_solves_some_alone(name, model, tokenizer):
    torch.manual_seed(0)
    assert 0.3 <= solve_rate(model, tokenizer, prompts_for(MAIN_FAMILY[name], Shape(0, 0), 60, 0), 3) <= 0.6


@pytest.mark.parametrize("name", ["bundled"], scope="module")
def test_the_model_for_chains_solves_more_with_peers_to_look_at(name, model, tokenizer):
    torch.manual_seed(0)
    alone = solve_rate(model, tokenizer, prompts_for("chain", Shape(0, 0), 60, 0), 3)
    assert solve_rate(model, tokenizer, prompts_for("chain", Shape(2, 1), 60, 0), 1) >= alone + 0.2
