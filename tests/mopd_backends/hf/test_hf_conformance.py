"""Generator `hf` keeps the contract of generators: full and sliding attention, tied and untied heads, split groups."""

from __future__ import annotations

import pytest

from mopd_backends.hf.config import HfConfig
from mopd_backends.hf.generator import build
from mopd_core.testing.generators import GeneratorSuite


class HfSuite(GeneratorSuite):
    batch_size = 256

    @pytest.fixture
    def prompts(self, four_prompts):
        return four_prompts

    @pytest.fixture
    def generator(self, model, new_context):
        return build(HfConfig(batch_size=self.batch_size), new_context(model))


class TestQwen3(HfSuite):
    @pytest.fixture
    def model(self, qwen3):
        return qwen3


class TestGemma3WithSlidingWindow(HfSuite):
    @pytest.fixture
    def model(self, gemma3):
        return gemma3


class TestLlamaTwoAtATime(HfSuite):
    batch_size = 2

    @pytest.fixture
    def model(self, llama):
        return llama
