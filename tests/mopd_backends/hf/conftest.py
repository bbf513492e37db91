"""Tiny random models, and what stands in for a tokenizer and a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pluggy
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, PreTrainedConfig, Qwen3Config

from mopd_backends.hf.config import HfConfig
from mopd_backends.hf.generator import HfGenerator
from mopd_core.contexts import ModelContext
from mopd_core.hookspecs import PROJECT
from mopd_core.registry import Registries
from mopd_core.types import Prompt

torch.set_num_threads(1)

SIZE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


class Words:
    """A tokenizer whose token 1 is special and whose other tokens are their number."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False) -> str:
        return " ".join(str(token) for token in token_ids if not (skip_special_tokens and token == 1))

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        raise NotImplementedError


def random_model(config: PreTrainedConfig) -> Any:
    """A model with random weights that are large enough for its distributions to be far from flat."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


@pytest.fixture
def qwen3() -> Any:
    return random_model(Qwen3Config(vocab_size=40, num_hidden_layers=3, tie_word_embeddings=True, **SIZE))


@pytest.fixture
def llama() -> Any:
    return random_model(LlamaConfig(vocab_size=40, num_hidden_layers=2, tie_word_embeddings=False, **SIZE))


@pytest.fixture
def gemma3() -> Any:
    """Two layers that see 6 tokens back, and one that sees everything."""
    kinds = ["sliding_attention", "sliding_attention", "full_attention"]
    return random_model(
        Gemma3TextConfig(vocab_size=40, num_hidden_layers=3, sliding_window=6, layer_types=kinds, **SIZE)
    )


@pytest.fixture
def four_prompts() -> list[Prompt]:
    """Four prompts of 3, 11, 7 and 7 tokens."""
    rng = np.random.default_rng(0)
    return [Prompt(f"p{i}", (), token_ids=rng.integers(2, 40, n).astype(np.int32)) for i, n in enumerate((3, 11, 7, 7))]


@pytest.fixture
def new_generator() -> Callable[..., HfGenerator]:
    """Makes a generator around a model as it is."""

    def make(model: Any, batch_size: int = 256) -> HfGenerator:
        return HfGenerator(HfConfig(batch_size=batch_size), model, Words())

    return make


@pytest.fixture
def new_context() -> Callable[[Any], ModelContext]:
    """Makes what a run would give the factory for this student."""

    def make(student: Any) -> ModelContext:
        return ModelContext(
            seed=0,
            registries=Registries(pluggy.PluginManager(PROJECT)),
            folder=None,
            student=student,
            tokenizer=Words(),
            model_path="",
            device=torch.device("cpu"),
            compute_dtype=torch.float32,
            max_length=64,
            longest_rollout=64,
            load_model=lambda path: student,
        )

    return make
