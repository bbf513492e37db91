"""Real vLLM on a CPU with tiny models. Where vLLM is not installed, what needs it is skipped."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from mopd_core.testing.tiny import VOCABULARY, tiny_config, tiny_context, tiny_student
from mopd_core.types import Prompt

ENGINE_MODULES = tuple(f"test_vllm_{part}" for part in ("engine", "planted", "server", "server_killed"))


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("vllm") is None:
        for item in items:
            if item.path.stem in ENGINE_MODULES:
                item.add_marker(pytest.mark.skip(reason="vLLM is not installed in this environment"))


@pytest.fixture(scope="session")
def new_student():
    """Makes a tiny student whose forward pass a test can take; its output head tied or not, its attention's 8 wide."""

    def make(tied, **options):
        student = tiny_student(tiny_config(tie_word_embeddings=tied, **options))
        student.set_attn_implementation("sdpa")
        return student

    return make


@pytest.fixture(scope="session")
def new_context(tmp_path_factory):
    """Makes what a run would give the factory for a student, whose checkpoint lies in a folder."""

    def make(student):
        path = tmp_path_factory.mktemp("student")
        student.save_pretrained(path)
        return replace(tiny_context(student), model_path=str(path))

    return make


@pytest.fixture(scope="session")
def prompts():
    """Three prompts of 5, 40 and 17 tokens; the last token of the vocabulary is among them."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(2, VOCABULARY, size).astype(np.int32) for size in (5, 40, 17)]
    drawn[2][3] = VOCABULARY - 1
    return [Prompt(id=f"p{i}", messages=(), token_ids=ids) for i, ids in enumerate(drawn)]


@pytest.fixture(scope="session")
def scores_of():
    """A student's own log p [T - 1] of every token of a sequence but the first, at temperature 1."""

    @torch.no_grad()
    def score(student, token_ids):
        ids = torch.from_numpy(np.asarray(token_ids, dtype=np.int64))
        log_p = student(input_ids=ids[None]).logits[0].float().log_softmax(-1)
        return log_p[:-1].gather(-1, ids[1:, None])[:, 0].numpy()

    return score
