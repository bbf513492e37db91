from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

from mopd_core.bundled import model_path
from mopd_core.bundled.families import FAMILIES
from mopd_core.bundled.measure import final_answer, prompts_for, solve_rate
from mopd_core.bundled.pretrain import wording
from mopd_core.bundled.samples import Shape

TOKENIZER = AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(model_path()).eval()


def test_it_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in model_path().rglob("*")) < 5_000_000


def test_it_is_a_qwen3_that_stops_at_its_end_of_turn(model):
    assert isinstance(model, Qwen3ForCausalLM)
    assert model.dtype == torch.float32
    assert TOKENIZER.eos_token == "<|end|>"
    assert model.generation_config.eos_token_id == model.config.eos_token_id == TOKENIZER.eos_token_id
    assert TOKENIZER.pad_token_id not in (None, TOKENIZER.eos_token_id)
    assert len(TOKENIZER) == model.config.vocab_size


@given(st.text())
def test_any_text_survives_the_tokenizer(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text


def test_a_digit_is_one_token():
    assert [TOKENIZER.decode(i) for i in TOKENIZER.encode("12 + 3 = 15")] == ["1", "2", " +", " 3", " =", " 1", "5"]


def test_chat_template_writes_turns_and_the_generation_header():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 {+} 2?\n"},
        {"role": "assistant", "content": "4"},
    ]
    whole = "<|system|>Be brief.<|end|><|user|>2 {+} 2?\n<|end|><|assistant|>4<|end|>"
    assert TOKENIZER.apply_chat_template(messages, tokenize=False) == whole
    prompt = TOKENIZER.apply_chat_template(messages[:2], tokenize=True, add_generation_prompt=True)["input_ids"]
    assert TOKENIZER.decode(prompt) == whole.removesuffix("4<|end|>")
    full = TOKENIZER.apply_chat_template(messages, tokenize=True)["input_ids"]
    assert full == [*prompt, *TOKENIZER.encode("4", add_special_tokens=False), TOKENIZER.eos_token_id]


def test_an_unknown_role_is_refused():
    with pytest.raises(TemplateError, match="tool; allowed: system, user, assistant"):
        TOKENIZER.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_and_answers_are_short(family):
    for problem in FAMILIES[family].problems("train", 50, 0):
        assert 25 <= len(TOKENIZER.encode(problem.question)) <= 45
        assert len(TOKENIZER.encode(problem.worked().text)) <= 60


def test_it_learned_to_read_the_default_wording():
    """If this fails, the teacher's prompt was reworded: rebuild the model, or it will not understand its context."""
    assert json.loads((model_path() / "provenance.json").read_text())["wording"] == wording()


def test_it_solves_some_alone_and_more_with_peers_to_look_at(model):
    torch.manual_seed(0)
    alone = solve_rate(model, TOKENIZER, prompts_for("chain", Shape(0, 0), 60, 0), 3)
    shown = solve_rate(model, TOKENIZER, prompts_for("chain", Shape(2, 1), 60, 0), 1)
    assert 0.3 <= alone <= 0.6
    assert shown >= alone + 0.2


def test_the_final_answer_is_what_the_last_box_holds():
    assert final_answer("\\boxed{1} no, \\boxed{2}.") == "2"
    assert final_answer("2") is None
