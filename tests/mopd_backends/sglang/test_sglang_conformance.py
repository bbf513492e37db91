"""Generator `sglang` keeps the contract of generators, in this process and served: a tied head, seeds honoured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mopd_backends.sglang.config import SglangConfig
from mopd_backends.sglang.engine import build
from mopd_core.errors import ConfigError
from mopd_core.testing.generators import PLAIN, GeneratorSuite, ModuleWeights, distinct_seeds


class SglangSuite(GeneratorSuite):
    @pytest.fixture(scope="class")
    def model(self, new_student):
        return new_student(tied=True)

    @pytest.fixture
    def prompts(self, three_prompts):
        return three_prompts

    @pytest.fixture(scope="class")
    def built(self):
        raise NotImplementedError

    @pytest.fixture
    def generator(self, built, model):
        built.sync_weights(ModuleWeights(model), 0)
        return built

    @pytest.mark.parametrize(
        "restriction",
        [
            {},
            {"temperature": 0.6},
            {"temperature": 1.7},
            {"top_k": 5},
            {"top_p": 0.7},
            {"temperature": 1.3, "top_p": 0.8},
        ],
        ids=str,
    )
    def test_log_probs_are_those_of_a_fresh_forward_pass(self, generator, prompts, model, restriction):
        """Without top_k and top_p together, which are refused."""
        sampling = replace(PLAIN, **restriction)
        groups = generator.generate(prompts, sampling, seeds=distinct_seeds(prompts, 2))
        self._assert_log_probs(model, prompts, groups, sampling)

    def test_top_k_and_top_p_together_are_refused(self, generator, prompts):
        with pytest.raises(ConfigError, match=r"top_k 20 and top_p 0\.8"):
            generator.generate(prompts, replace(PLAIN, top_k=20, top_p=0.8), seeds=distinct_seeds(prompts, 1))

    def test_can_be_closed_twice(self, generator):
        """The last test of a class: its generator is shared."""
        generator.close()
        generator.close()


class TestInProcess(SglangSuite):
    @pytest.fixture(scope="class")
    def built(self, model, new_context):
        generator = build(SglangConfig(deterministic=True), new_context(model))
        yield generator
        generator.close()


class TestServed(SglangSuite):
    @pytest.fixture(scope="class")
    def built(self, server, model, new_context, tmp_path_factory):
        url, _ = server
        config = SglangConfig(urls=(url,), deterministic=True)
        generator = build(config, new_context(model, tmp_path_factory.mktemp("run")))
        yield generator
        generator.close()
