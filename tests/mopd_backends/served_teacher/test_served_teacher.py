"""A served teacher teaches what the same model in this process does, asks in time, and refuses what is no teacher."""

from __future__ import annotations

import time

import pytest
import torch

from mopd_backends.served_teacher import teacher as served_teacher
from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.testing.tiny import VOCABULARY
from mopd_core.training.batch import micro_batches

SUPPORTS = {"sglang": ["student", "teacher"], "vllm": ["teacher"]}
WAYS = [
    pytest.param(engine, {"top_k": 6, "support": support, "remainder": remainder}, id=f"{engine}-{support}-{remainder}")
    for engine, supports in SUPPORTS.items()
    for support in supports
    for remainder in ("tail", "renormalise")
]
OWN = {"top_k": 6, "support": "teacher"}


@pytest.mark.parametrize(("engine", "outcomes"), WAYS)
def test_loss_and_gradient_are_those_of_the_frozen_model(
    engine, outcomes, scripted, new_teacher, frozen, learn, assert_same
):
    teacher = new_teacher(engine, scripted().url)
    assert_same(learn(teacher, **outcomes), learn(frozen, **outcomes))


@pytest.mark.parametrize("engine", SUPPORTS)
def test_the_sampled_estimator_reads_the_sampled_tokens(engine, scripted, new_teacher, frozen, learn, assert_same):
    server = scripted()
    teacher = new_teacher(engine, server.url)
    assert_same(learn(teacher, estimator="sampled"), learn(frozen, estimator="sampled"))
    assert all(not body.get("top_logprobs_num") for body in server.asked)


@pytest.mark.parametrize("support", ["student", "teacher"])
@pytest.mark.parametrize("top_k", [VOCABULARY, VOCABULARY + 5])
def test_a_k_of_the_vocabulary_is_the_whole_of_it(support, top_k, scripted, new_teacher, frozen, learn, assert_same):
    teacher = new_teacher("sglang", scripted().url)
    assert_same(learn(teacher, top_k=top_k, support=support), learn(frozen))


@pytest.mark.parametrize("most", [1, 40])
def test_long_answers_come_in_parts(most, scripted, new_teacher, learn, frozen, assert_same, monkeypatch):
    """With at most 40 log-probabilities an answer, the tokens of all positions are still the student's own."""
    monkeypatch.setattr(served_teacher, "MOST_ENTRIES", most)
    server = scripted()
    assert_same(learn(new_teacher("sglang", server.url), top_k=6), learn(frozen, top_k=6))
    for body in server.asked:
        positions = len(body["input_ids"]) - 1 - body["logprob_start_len"]
        assert positions == 1 or positions * len(body["token_ids_logprob"]) <= most


@pytest.mark.parametrize("micro_batch_tokens", [1, 10_000])
def test_every_sequence_is_asked_about_once(micro_batch_tokens, scripted, new_teacher, learn):
    """Five of the six rollouts have a context; one of them is the beginning of another."""
    server = scripted()
    teacher = new_teacher("sglang", server.url)
    server.asked.clear()
    learn(teacher, micro_batch_tokens=micro_batch_tokens, **OWN)
    assert len(server.asked) == (5 if micro_batch_tokens == 1 else 4)


def test_the_teachers_own_tokens_are_asked_for_before_they_are_needed(scripted, new_teacher, step):
    server = scripted()
    teacher = new_teacher("sglang", server.url)
    server.asked.clear()
    server.delay.clear()
    (micro,) = _micro_batches(step)
    read = teacher.read(micro.teacher)
    targets = step.tokens.tokens[micro.tokens[: micro.n_distilled]]
    read.expect(micro.teacher_rows, targets, 3)
    end = time.monotonic() + 20
    while len(server.asked) < 4:
        assert time.monotonic() < end, "not asked before it is needed"
        time.sleep(0.01)
    server.delay.set()
    known = read.known(micro.teacher_rows, targets, None)
    assert known.ids.shape == known.log_probs.shape == (len(targets), 3)


def _micro_batches(step):
    everything = torch.ones(len(step.tokens.tokens), dtype=torch.bool)
    return list(micro_batches(step, everything, step.tokens.has_context[step.tokens.rollout], 10_000))


@pytest.mark.parametrize("engine", SUPPORTS)
@pytest.mark.parametrize("vocabulary", [VOCABULARY - 1, VOCABULARY + 1])
def test_another_vocabulary_is_refused_before_a_step(engine, vocabulary, scripted, new_teacher):
    with pytest.raises(ConfigError, match=r"vocabulary is not the student's of 40 entries.*teacher\.urls"):
        new_teacher(engine, scripted(vocabulary=vocabulary).url)


@pytest.mark.parametrize("engine", SUPPORTS)
@pytest.mark.parametrize(
    ("fault", "said"),
    [("nan", "no numbers"), ("cut", "does not tell of every token"), ("foreign", "vocabulary has 40")],
)
def test_an_answer_that_is_none_stops_the_step(engine, fault, said, scripted, new_teacher, learn):
    if (engine, fault) == ("vllm", "foreign"):
        pytest.skip("the scripted vLLM tells of what it is asked")
    server = scripted()
    teacher = new_teacher(engine, server.url)
    server.fault = fault
    with pytest.raises(GeneratorError, match=said):
        learn(teacher, **OWN)


def test_a_server_that_is_gone_names_the_teachers_option(scripted, new_teacher, learn):
    server = scripted()
    teacher = new_teacher("sglang", server.url, max_wait_s=2.0)
    server.close()
    with pytest.raises(GeneratorError, match=r"teacher\.max_wait_s is 2"):
        learn(teacher, **OWN)


def test_two_servers_share_the_work_and_one_may_go(scripted, new_teacher, learn, frozen, assert_same):
    one, other = scripted(), scripted()
    teacher = new_teacher("sglang", one.url, other.url)
    other.close()
    assert_same(learn(teacher, **OWN), learn(frozen, **OWN))


def test_it_has_nothing_to_save_and_closes_twice(scripted, new_teacher):
    teacher = new_teacher("sglang", scripted().url)
    teacher.update(torch.nn.Identity())
    assert teacher.state_dict() == {}
    teacher.close()
    teacher.close()
