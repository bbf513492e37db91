"""A real vLLM server that a run starts for itself keeps the same contract over HTTP, and its weights arrive."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from mopd_backends.vllm.config import VllmConfig
from mopd_backends.vllm.generator import build
from mopd_core.testing.generators import GeneratorSuite, ModuleWeights


@pytest.fixture(scope="module")
def student(new_student):
    return new_student(tied=True)


@pytest.fixture(scope="module")
def server(student, new_context):
    generator = build(VllmConfig(managed=True, cpu_cache_gib=0.125, max_wait_s=240), new_context(student))
    yield generator
    generator.close()


@pytest.mark.parametrize("part", ["all", "head"])
def test_a_sync_brings_every_weight_the_head_too(server, student, prompts, scores_of, part):
    other = copy.deepcopy(student)
    with torch.no_grad():
        for parameter in other.parameters() if part == "all" else [other.get_output_embeddings().weight]:
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    server.sync_weights(ModuleWeights(other), 8)
    scores = server.score([prompt.token_ids for prompt in prompts])
    for prompt, score in zip(prompts, scores, strict=True):
        assert np.abs(score - scores_of(student, prompt.token_ids)).max() > 0.1
        np.testing.assert_allclose(score, scores_of(other, prompt.token_ids), rtol=0, atol=1e-4)


class TestContract(GeneratorSuite):
    """The test that closes the server is its last."""

    @pytest.fixture
    def model(self, student):
        return student

    @pytest.fixture
    def generator(self, server, model):
        server.sync_weights(ModuleWeights(model), 0)
        return server

    @pytest.fixture
    def prompts(self, prompts):
        return prompts
