"""Weights that do not arrive in a real vLLM, planted in every known way: the canary catches each at the first sync."""

from __future__ import annotations

import pytest

from mopd_backends.vllm.config import VllmConfig
from mopd_backends.vllm.generator import build
from mopd_core.errors import GeneratorError
from mopd_core.testing.generators import ModuleWeights
from mopd_core.testing.tiny import tiny_config, tiny_student

ALARM = r"the canary: .*version 1.*Likely causes"


@pytest.fixture(scope="module")
def student():
    return tiny_student(tiny_config(tie_word_embeddings=True))


@pytest.fixture(scope="module")
def generator(student, new_context):
    built = build(VllmConfig(cpu_cache_gib=0.125), new_context(student))
    yield built
    built.close()


def test_a_sync_that_arrives_passes(generator, student, prompts, synced):
    assert synced(generator, student, prompts, "whole")["canary/max"] < 1e-4


@pytest.mark.parametrize("fault", ["skipped", "swapped_layers"])
def test_a_planted_fault_is_caught(generator, student, prompts, synced, fault):
    with pytest.raises(GeneratorError, match=ALARM):
        synced(generator, student, prompts, fault)


def test_a_tied_head_that_keeps_its_packed_copy_is_caught(generator, student, prompts, synced, monkeypatch):
    """What vLLM's own reload does on a CPU: it packs the head's copy of the embedding once, and never again."""
    generator.sync_weights(ModuleWeights(student), 0)
    monkeypatch.setattr("mopd_backends.vllm.worker._pack_heads", lambda model: None)
    with pytest.raises(GeneratorError, match=ALARM):
        synced(generator, student, prompts, "whole")


def test_adapters_that_are_not_loaded_are_caught(generator, student, prompts, synced_without_adapter):
    with pytest.raises(GeneratorError, match=ALARM):
        synced_without_adapter(generator, student, prompts)
