"""A served teacher teaches what the same model in this process does, asks in time, and refuses what is no teacher."""

from __future__ import annotations

import time

import pytest
import torch

from mopd_backends.served_teacher import teacher as served_teacher
from mopd_backends.servers import dispatch
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


def reading(scripted, new_teacher, step, top_k, n_servers=1):
    """A micro-batch that slow servers have been told of, its rows, targets and the servers."""
    servers = [scripted() for _ in range(n_servers)]
    teacher = new_teacher("sglang", *(server.url for server in servers))
    for server in servers:
        server.asked.clear()
        server.delay.clear()
    (micro,) = _micro_batches(step)
    read, targets = teacher.read(micro.teacher), step.tokens.tokens[micro.tokens[: micro.n_distilled]]
    read.expect(micro.teacher_rows, targets, top_k)
    return read, micro.teacher_rows, targets, servers


def wait_for_questions(server, n):
    end = time.monotonic() + 20
    while len(server.asked) < n:
        assert time.monotonic() < end, "not asked before it is needed"
        time.sleep(0.01)


def test_the_teachers_own_tokens_are_asked_for_before_they_are_needed(scripted, new_teacher, step):
    read, rows, targets, (server,) = reading(scripted, new_teacher, step, 3)
    wait_for_questions(server, 4)
    server.delay.set()
    known = read.known(rows, targets, None)
    assert known.ids.shape == known.log_probs.shape == (len(targets), 3)


def test_contexts_are_read_before_the_students_tokens_are_known(scripted, new_teacher, step):
    """And once: the questions about those tokens come after it."""
    read, rows, targets, (server,) = reading(scripted, new_teacher, step, None)
    wait_for_questions(server, 4)
    assert all(body["logprob_start_len"] == len(body["input_ids"]) - 2 for body in server.asked)
    contexts = [body["input_ids"][:-1] for body in server.asked]
    server.delay.set()
    read.known(rows, targets, torch.zeros(len(targets), 1, dtype=torch.int64))
    assert len(server.asked) == 8
    for body in server.asked[4:]:
        assert any(body["input_ids"][: len(context)] == context for context in contexts)
        assert body["token_ids_logprob"] == [0]


def test_several_servers_read_nothing_in_advance(scripted, new_teacher, step):
    """The question that needs it may come to another one."""
    read, rows, targets, servers = reading(scripted, new_teacher, step, None, n_servers=2)
    for server in servers:
        server.delay.set()
    read.known(rows, targets, torch.zeros(len(targets), 1, dtype=torch.int64))
    assert [body["token_ids_logprob"] for server in servers for body in server.asked] == [[0]] * 4


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
    [
        ("nan", "no numbers"),
        ("cut", "does not tell of every token"),
        ("form", "does not tell of every token"),
        ("foreign", "vocabulary has 40"),
    ],
)
def test_an_answer_that_is_none_stops_the_step(engine, fault, said, scripted, new_teacher, learn):
    if (engine, fault) == ("vllm", "foreign"):
        pytest.skip("the scripted vLLM tells of what it is asked")
    server = scripted()
    teacher = new_teacher(engine, server.url)
    server.fault = fault
    with pytest.raises(GeneratorError, match=said):
        learn(teacher, **OWN)


def test_too_few_log_probabilities_a_position_are_refused_before_a_step(scripted, bundled_model, two_steps):
    server = scripted(bundled_model)
    options = ["teacher=served", "teacher.engine=vllm", f"teacher.urls=[{server.url}]", "divergence.support=teacher"]
    with pytest.raises(ConfigError, match=r"the 21 most likely .* --max-logprobs 21,.*or lower divergence\.top_k"):
        two_steps(*options, "divergence.top_k=21")
    assert server.asked == []


def test_a_server_that_is_gone_names_the_teachers_option(scripted, new_teacher, learn):
    server = scripted()
    teacher = new_teacher("sglang", server.url, max_wait_s=0.5)
    server.close()
    with pytest.raises(GeneratorError, match=r"teacher\.max_wait_s is 0\.5"):
        learn(teacher, **OWN)


def test_two_servers_share_the_work_and_one_may_go(scripted, new_teacher, learn, frozen, assert_same, monkeypatch):
    monkeypatch.setattr(dispatch, "_MUSTER_S", 0.1)
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


def test_a_run_with_a_server_is_one_with_a_frozen_teacher(scripted, bundled_model, assert_served_as_frozen):
    assert_served_as_frozen("sglang", scripted(bundled_model).url, "divergence.top_k=20")
