"""Generator `vllm` in this process, on the real engine: the contract of generators, and weights that arrive."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import distributed

from mopd_backends.vllm.config import VllmConfig
from mopd_backends.vllm.engine import Engine
from mopd_backends.vllm.generator import build
from mopd_backends.vllm.requests import sampling_params
from mopd_core.config.sections import LoraConfig
from mopd_core.errors import GeneratorError
from mopd_core.testing.generators import PLAIN, GeneratorSuite, ModuleWeights, distinct_seeds, ids_of
from mopd_core.testing.tiny import VOCABULARY
from mopd_core.training.lora import add_adapters
from mopd_core.training.models import StudentWeights
from mopd_core.types import Prompt, Sampling

CONFIG = VllmConfig(cpu_cache_gib=0.125)


class TestContract(GeneratorSuite):
    """With a tied head, whose packed copy is the one that stays behind, and attention narrower than vLLM's for CPUs.

    One engine; the test that closes it is the last.
    """

    @pytest.fixture(scope="class")
    def model(self, new_student):
        return new_student(tied=True)

    @pytest.fixture(scope="class")
    def engine(self, model, new_context):
        generator = build(CONFIG, new_context(model))
        yield generator
        generator.close()

    @pytest.fixture
    def generator(self, engine, model):
        engine.sync_weights(ModuleWeights(model), 0)
        return engine

    @pytest.fixture
    def prompts(self, prompts):
        return prompts


@dataclass(frozen=True)
class Part:
    """Weights of which the last few never come."""

    module: torch.nn.Module

    def named_tensors(self):
        yield from list(self.module.named_parameters())[:-4]


def changed(student):
    """A copy with other weights, every one of them."""
    other = copy.deepcopy(student)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return other


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"], scope="class")
class TestEngine:
    @pytest.fixture(scope="class")
    def student(self, new_student, tied):
        return new_student(tied, head_dim=32)

    @pytest.fixture(scope="class")
    def engine(self, student, new_context):
        generator = build(CONFIG, new_context(student))
        yield generator
        generator.close()

    @pytest.fixture
    def generator(self, engine, student):
        engine.sync_weights(ModuleWeights(student), 0)
        return engine

    @pytest.fixture
    def error(self, generator, prompts, scores_of):
        """How far the generator's scores are from a student's, nats."""

        def largest(student):
            scores = generator.score([prompt.token_ids for prompt in prompts])
            expected = [scores_of(student, prompt.token_ids) for prompt in prompts]
            return max(np.abs(score - other).max() for score, other in zip(scores, expected, strict=True))

        return largest

    def test_a_sync_brings_every_weight_the_head_too(self, generator, student, error):
        other = changed(student)
        assert error(student) < 1e-4
        assert error(other) > 0.1
        generator.sync_weights(ModuleWeights(other), 1)
        assert error(other) < 1e-4

    def test_a_sync_of_the_head_alone_arrives(self, generator, student, error):
        other = copy.deepcopy(student)
        with torch.no_grad():
            other.get_output_embeddings().weight.mul_(1.5)
        generator.sync_weights(ModuleWeights(other), 1)
        assert error(student) > 0.1
        assert error(other) < 1e-4

    def test_adapters_come_merged(self, generator, student, error):
        pytest.importorskip("peft")
        adapted = copy.deepcopy(student)
        add_adapters(adapted, LoraConfig(rank=4, target_modules=("q_proj", "down_proj")), seed=0)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora" in name:
                    parameter.normal_(std=0.3)
        assert error(adapted) > 0.1
        generator.sync_weights(StudentWeights(adapted), 1)
        assert error(adapted) < 1e-4

    def test_weights_that_do_not_come_are_an_error_and_the_next_sync_repairs(self, generator, student, prompts, error):
        other = changed(student)
        with pytest.raises(GeneratorError, match="of vLLM's weights did not come"):
            generator.sync_weights(Part(other), 5)
        generator.sync_weights(ModuleWeights(other), 6)
        assert error(other) < 1e-4
        ((rollout,),) = generator.generate(prompts[:1], PLAIN, seeds=[[0]])
        assert rollout.version == 6

    def test_an_engine_that_sleeps_wakes_for_weights_scores_and_prompts(
        self, generator, student, prompts, error, monkeypatch
    ):
        """On a CPU nothing is let go, but vLLM keeps count and refuses to sample asleep."""
        awake = ids_of(generator.generate(prompts, PLAIN, seeds=distinct_seeds(prompts, 2)))
        monkeypatch.setattr(generator._engine, "_sleeps", True)
        assert ids_of(generator.generate(prompts, PLAIN, seeds=distinct_seeds(prompts, 2))) == awake
        assert generator._engine._open().is_sleeping()
        generator.sync_weights(ModuleWeights(student), 1)
        assert error(student) < 1e-4
        assert ids_of(generator.generate(prompts, PLAIN, seeds=distinct_seeds(prompts, 2))) == awake
        assert generator._engine._open().is_sleeping()

    def test_a_stream_that_is_left_leaves_nothing_running(self, generator, prompts):
        stream = generator.stream(prompts, Sampling(max_tokens=60), seeds=distinct_seeds(prompts, 4))
        next(stream)
        stream.close()
        assert not generator._engine._open().has_unfinished_requests()

    def test_shorter_rollouts_come_while_longer_ones_are_sampled(self, generator, prompts):
        sampling = Sampling(max_tokens=40, stop_ids=(2, 3, 4, 5))
        lengths = [
            len(rollout.token_ids)
            for *_, rollout in generator.stream(prompts, sampling, seeds=distinct_seeds(prompts, 4))
        ]
        assert len(set(lengths)) > 3
        assert lengths == sorted(lengths)

    def test_prompts_and_sequences_that_are_too_long_are_refused(self, generator):
        prompt = Prompt("long", (), token_ids=np.full(120, 7, dtype=np.int32))
        with pytest.raises(GeneratorError, match=r"'long' has 120 tokens; with 9 to sample that is 129.* at most 128"):
            generator.generate([prompt], Sampling(max_tokens=9), seeds=[[0]])
        with pytest.raises(GeneratorError, match="'bare' has no token ids"):
            generator.generate([Prompt("bare", ())], PLAIN, seeds=[[0]])
        with pytest.raises(GeneratorError, match="has 128 tokens; generator vllm scores 1 to 127"):
            generator.score([np.full(128, 7, dtype=np.int32)])


class TestLongPrompts:
    @pytest.fixture(scope="class")
    def engine(self, new_student, new_context):
        student = new_student(tied=True, max_position_embeddings=1024)
        engine = Engine(CONFIG, replace(new_context(student), max_length=1024, longest_rollout=1024))
        yield engine
        engine.close()

    def test_a_group_reads_its_prompt_once(self, engine):
        """As far as it fills whole blocks of vLLM's cache."""
        prompt = np.full(1000, 7, dtype=np.int32)
        outputs = engine.run({i: (prompt, sampling_params(PLAIN, seed=i)) for i in range(4)})
        cached = sorted(output.num_cached_tokens for _, output in outputs)
        assert cached[0] == 0
        assert cached[1] == cached[2] == cached[3] >= 1000 - 128

    def test_more_prompts_than_are_read_at_once_keep_their_seeds(self, engine):
        prompts = np.random.default_rng(0).integers(2, VOCABULARY, (6, 1000)).astype(np.int32)
        requests = {i: (prompt, sampling_params(PLAIN, seed=i)) for i, prompt in enumerate(prompts)}
        together = {i: output.outputs[0].token_ids for i, output in engine.run(requests)}
        alone = {i: output.outputs[0].token_ids for n in requests for i, output in engine.run({n: requests[n]})}
        assert together == alone


def test_starting_and_closing_leave_the_process_as_it_was(new_student, new_context, prompts):
    torch.manual_seed(3)
    random.seed(3)
    context = new_context(new_student(tied=True))
    expected = torch.get_rng_state(), random.getstate(), torch.get_num_threads(), torch.set_num_threads
    generator = build(CONFIG, context)
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert (random.getstate(), torch.get_num_threads(), torch.set_num_threads) == expected[1:]
    generator.close()
    assert not distributed.is_initialized()
    with pytest.raises(GeneratorError, match="closed"):
        generator.generate(prompts, PLAIN, seeds=distinct_seeds(prompts, 1))
