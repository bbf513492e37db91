"""What runs on a GPU alone: `pytest tests/gpu` where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mopd_core.testing.tiny import tiny_config, tiny_student
from mopd_core.training.batch import build_step
from mopd_core.types import Prompt, Rollout, RolloutGroup, Verdict

VOCABULARY = 1000


@pytest.fixture(autouse=True)
def _on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def make_student():
    """The same model at each call: grouped queries, and heads as large as the attention kernels want them."""

    def make(**options):
        size = {"vocab_size": VOCABULARY, "hidden_size": 64, "head_dim": 32, "max_position_embeddings": 1024}
        return tiny_student(tiny_config(**size | options))

    return make


@pytest.fixture
def step():
    """Two groups of four rollouts, with a teacher's prompt that all of a group share."""
    draw = np.random.default_rng(0)

    def ids(count):
        return draw.integers(2, VOCABULARY, count, dtype=np.int32)

    groups, prompts = [], []
    for number in range(2):
        lengths = draw.integers(20, 150, 4)
        rollouts = tuple(Rollout(ids(n), np.zeros(n, np.float32), "", "stop", 0, np.ones(n, bool)) for n in lengths)
        prompt = Prompt(str(number), (), token_ids=ids(50))
        groups.append(RolloutGroup(prompt, rollouts, (Verdict(1.0, "passed"),) * 4))
        prompts.append([np.concatenate([prompt.token_ids, rollouts[0].token_ids])] * 4)
    return build_step(groups, prompts)
