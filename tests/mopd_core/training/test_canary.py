"""The canary: what it takes for equal, and every planted way in which weights do not arrive."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from mopd_core.errors import GeneratorError
from mopd_core.testing.tiny import VOCABULARY, tiny_config, tiny_student
from mopd_core.training.canary import Canary, probe_of, score
from mopd_core.types import Prompt

CPU = torch.device("cpu")


def prompts(count=6, length=40):
    draw = np.random.default_rng(0)
    return [
        Prompt(str(n), (), token_ids=draw.integers(0, VOCABULARY, length + n).astype(np.int32)) for n in range(count)
    ]


def scores_of(model, probe):
    """As an engine would: a pass of its own over each sequence."""
    found = []
    with torch.no_grad():
        for ids in probe:
            tokens = torch.from_numpy(ids.astype(np.int64))
            log_p = model(tokens[None]).logits[0, :-1].log_softmax(-1)
            found.append(log_p.gather(-1, tokens[1:, None])[:, 0].numpy())
    return found


def engine(student):
    """The student's weights in a model of transformers' own."""
    model = copy.deepcopy(student)
    model.set_attn_implementation("sdpa")
    return model


def take_step(student, size=1e-2):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += size * parameter.std() * torch.randn_like(parameter)


@pytest.fixture
def canary():
    return Canary("scripted", probe_of(prompts()), CPU, torch.float32)


def check(canary, student, model, version):
    return canary.check(canary.trainer_scores(student), scores_of(model, canary.probe), version)


def test_the_probe_is_the_beginning_of_a_few_prompts():
    assert [len(ids) for ids in probe_of(prompts())] == [32, 32]
    assert [len(ids) for ids in probe_of(prompts(2, 0))] == []
    assert [len(ids) for ids in probe_of([*prompts(1, 5), *prompts(1, 9)])] == [5, 9]


@pytest.mark.parametrize("tied", [True, False])
def test_both_sides_score_alike(canary, tied):
    student = tiny_student(tiny_config(tie_word_embeddings=tied))
    for ours, theirs in zip(
        score(student, canary.probe, CPU, torch.float32), scores_of(engine(student), canary.probe), strict=True
    ):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_weights_that_arrive_pass_step_after_step(canary):
    student = tiny_student()
    for version in range(4):
        metrics = check(canary, student, engine(student), version)
        assert 0 <= metrics["canary/mean"] <= metrics["canary/max"] < 1e-4
        take_step(student)


def stale_head(model, old):
    model.lm_head.weight = torch.nn.Parameter(old.lm_head.weight.detach().clone())


def swapped_layers(model, old):
    layers = model.model.layers
    layers[0], layers[1] = layers[1], layers[0]


def no_sync(model, old):
    model.load_state_dict(old.state_dict())


@pytest.mark.parametrize("fault", [no_sync, stale_head, swapped_layers])
@pytest.mark.parametrize("size", [1e-2, 1e-3])
def test_a_planted_fault_is_caught_at_the_first_sync(canary, fault, size):
    student = tiny_student()
    old = engine(student)
    check(canary, student, old, 0)
    take_step(student, size)
    model = engine(student)
    fault(model, old)
    with pytest.raises(GeneratorError, match=r"version 1.*Likely causes: .*tied"):
        check(canary, student, model, 1)


def test_one_stale_copy_among_many_is_caught(canary):
    student = tiny_student()
    old = engine(student)
    canary.check_each(canary.trainer_scores(student), [scores_of(old, canary.probe)] * 20, 0)
    take_step(student, 1e-3)
    trainer, fresh = canary.trainer_scores(student), scores_of(engine(student), canary.probe)
    with pytest.raises(GeneratorError, match="version 1"):
        canary.check_each(trainer, [*[fresh] * 19, scores_of(old, canary.probe)], 1)
    metrics = canary.check_each(trainer, [fresh] * 20, 1)
    assert metrics == pytest.approx(canary.check(trainer, fresh, 1))


def test_a_small_step_is_told_from_noise_though_it_is_within_tolerance():
    """In bf16 sides differ; what is left of a change that did not arrive is larger than that."""
    canary = Canary("scripted", probe_of(prompts()), CPU, torch.bfloat16)
    n = sum(len(ids) - 1 for ids in canary.probe)
    before, noise = np.full(n, -3.0, dtype=np.float32), 0.004
    sizes = [len(ids) - 1 for ids in canary.probe]

    def rows(values):
        return np.split(values, np.cumsum(sizes)[:-1])

    canary.check(before, rows(before + noise), 0)
    after = before + 0.05
    canary.check(after, rows(after - noise), 1)
    later = after + 0.05
    with pytest.raises(GeneratorError, match=r"changed the trainer's log-probabilities by 0\.05 .* now off by 0\.05"):
        canary.check(later, rows(after), 2)


def test_a_change_below_the_noise_is_not_judged(canary):
    student = tiny_student()
    check(canary, student, engine(student), 0)
    assert check(canary, student, engine(student), 1)["canary/mean"] < 1e-4


def test_a_generator_that_scores_nan_is_caught(canary):
    student = tiny_student()
    nothing = [np.full(len(ids) - 1, np.nan, dtype=np.float32) for ids in canary.probe]
    with pytest.raises(GeneratorError, match="off by nan"):
        canary.check(canary.trainer_scores(student), nothing, 0)


def test_missing_scores_are_one_sentence(canary):
    student = tiny_student()
    with pytest.raises(GeneratorError, match=r"scored \[31\] tokens of the probe; there are \[31, 31\]"):
        canary.check(canary.trainer_scores(student), scores_of(engine(student), canary.probe)[:1], 0)
