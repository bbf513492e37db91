"""What a generator over servers gives when nothing goes wrong, and what it refuses to start with."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.testing.generators import ModuleWeights
from mopd_core.testing.tiny import tiny_student
from mopd_core.types import Sampling

SAMPLING = Sampling(max_tokens=12)


def ids_of(groups):
    return [[rollout.token_ids.tolist() for rollout in group] for group in groups]


def test_every_rollout_comes_once_whether_streamed_or_not(engines, served, prompts, seeds):
    generator = served(engines())
    seeds[1] = []
    groups = generator.generate(prompts, SAMPLING, seeds=seeds)
    assert [len(group) for group in groups] == [len(group) for group in seeds]
    streamed = [
        ((p, g), rollout.token_ids.tolist()) for p, g, rollout in generator.stream(prompts, SAMPLING, seeds=seeds)
    ]
    assert len(streamed) == sum(map(len, seeds))
    assert dict(streamed) == {(p, g): ids for p, group in enumerate(ids_of(groups)) for g, ids in enumerate(group)}
    assert generator.generate([], SAMPLING, seeds=[]) == []


def test_a_rollout_is_what_the_server_sampled(engines, served, prompts, seeds):
    rollout = served(engines()).generate(prompts[:1], SAMPLING, seeds=[[3]])[0][0]
    assert rollout.text == "".join(f"{token} " for token in rollout.token_ids)
    assert rollout.token_ids.dtype == np.int32
    assert rollout.logprobs.dtype == np.float32
    assert (rollout.logprobs < 0).all()
    assert rollout.own.all()
    assert (rollout.version, rollout.finish_reason) == (0, "length")


def test_greedy_rollouts_are_certain(engines, served, prompts, seeds):
    groups = served(engines()).generate(prompts, Sampling(max_tokens=4, temperature=0.0), seeds=[[0]] * len(prompts))
    assert all((rollout.logprobs == 0).all() for group in groups for rollout in group)


def test_rollouts_do_not_depend_on_how_many_servers_there_are(engines, served, prompts, seeds):
    alone = served(engines()).generate(prompts, SAMPLING, seeds=seeds)
    together = served(engines(), engines(), engines()).generate(prompts, SAMPLING, seeds=seeds)
    assert ids_of(alone) == ids_of(together)


def test_groups_stay_together_and_servers_share_them(engines, served, prompts, seeds):
    pair = engines(delay_s=0.05), engines(delay_s=0.05)
    served(*pair).generate(prompts, SAMPLING, seeds=seeds)
    asked = [{tuple(ids) for ids in engine.state()["prompts"]} for engine in pair]
    assert not asked[0] & asked[1]
    assert len(asked[0]) == len(asked[1]) == 4


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_no_server_has_more_requests_than_it_may_have(engines, served, prompts, seeds, concurrency: int):
    engine = engines(delay_s=0.01)
    groups = served(engine, concurrency=concurrency).generate(prompts, SAMPLING, seeds=seeds)
    assert sum(map(len, groups)) == 32
    assert engine.state()["peak"] <= concurrency


def test_a_stream_that_is_closed_leaves_nothing_in_flight(engines, served, prompts, seeds):
    engine = engines(delay_s=0.1)
    generator = served(engine, concurrency=4)
    stream = generator.stream(prompts, SAMPLING, seeds=seeds)
    next(stream)
    stream.close()
    asked = len(engine.state()["prompts"])
    assert asked < 32
    assert ids_of(generator.generate(prompts[:1], SAMPLING, seeds=[[1]]))
    assert len(engine.state()["prompts"]) == asked + 1


def test_scores_come_in_order_from_all_servers(engines, served):
    generator = served(engines(), engines())
    sequences = [np.arange(n, n + 4, dtype=np.int32) for n in range(6)]
    scores = generator.score(sequences)
    assert [score.tolist() for score in scores] == [[-0.5 * token for token in ids[1:]] for ids in sequences]


def test_every_server_that_is_well_scores(engines, served):
    servers = [engines() for _ in range(4)]
    generator = served(*servers, max_wait_s=5)
    servers[0].set(score_shift=1.0)
    servers[1].kill()
    sequences = [np.arange(n, n + 4, dtype=np.int32) for n in range(2)]
    right = [[-0.5 * token for token in ids[1:]] for ids in sequences]
    shifted = [[value - 1.0 for value in row] for row in right]
    scores = [[row.tolist() for row in place] for place in generator.score_each(sequences)]
    assert scores == [shifted, right, right]


def test_synced_weights_are_the_ones_that_sample(engines, served, prompts, seeds, tmp_path):
    pair = engines(), engines()
    generator = served(*pair)
    before = ids_of(generator.generate(prompts, SAMPLING, seeds=seeds))
    generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 7)
    after = generator.generate(prompts, SAMPLING, seeds=seeds)
    assert {rollout.version for group in after for rollout in group} == {7}
    assert ids_of(after) != before
    assert [engine.state()["version"] for engine in pair] == [7, 7]
    generator.sync_weights(ModuleWeights(tiny_student(seed=0)), 8)
    assert ids_of(generator.generate(prompts, SAMPLING, seeds=seeds)) == before
    assert sorted(path.name for path in (tmp_path / "sync").iterdir()) == ["v000007", "v000008"]
    generator.close()
    generator.close()
    assert list((tmp_path / "sync").iterdir()) == []


def test_a_server_with_a_former_runs_weights_is_given_ours(engines, served, prompts, seeds):
    engine = engines()
    first = served(engine)
    expected = ids_of(first.generate(prompts, SAMPLING, seeds=seeds))
    first.sync_weights(ModuleWeights(tiny_student(seed=1)), 3)
    assert ids_of(served(engine).generate(prompts, SAMPLING, seeds=seeds)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"told_vocabulary": 50}, "a vocabulary of 50 entries; the student has 40", id="told"),
        pytest.param({"told_vocabulary": None, "fault": "foreign"}, "token id 40", id="probed"),
        pytest.param({"fault": "garbage"}, "no ids", id="garbage"),
        pytest.param({"max_length": 127}, "at most 127 tokens, and a prompt and its response may have 128", id="short"),
    ],
)
def test_a_server_of_another_model_is_refused_at_the_start(engines, served, options, message: str):
    engine = engines(**options)
    with pytest.raises(ConfigError, match=message) as refused:
        served(engine, engines())
    assert engine.url in str(refused.value)
    assert "Start it with" in str(refused.value)


def test_prompts_longer_than_a_server_takes_are_refused(engines, served, prompts, seeds):
    generator = served(engines(max_length=128), engines(max_length=None))
    with pytest.raises(ConfigError, match="may have 130 tokens, and a server takes at most 128"):
        generator.generate(prompts, Sampling(max_tokens=120), seeds=seeds)
    assert generator.generate(prompts, Sampling(max_tokens=10), seeds=seeds)


@pytest.mark.parametrize(
    "url",
    [
        "node1:8000",
        "ftp://node1",
        "http://user:secret@node1:8000",
        "http://",
        "http://node1:port",
        "http://node1:80000",
        "http://[::1",
        "http://user:secret@[::1",
        "http://node1:8000?key=secret",
    ],
)
def test_addresses_have_to_be_addresses(served, url: str):
    with pytest.raises(ConfigError, match="such as http://node1:8000") as refused:
        served(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("value", [None, "", "sk-\nsecret"], ids=["unset", "empty", "two lines"])
def test_a_key_that_is_not_there_is_a_config_error(served, monkeypatch, value):
    monkeypatch.delenv("FAKE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("FAKE_KEY", value)
    with pytest.raises(ConfigError, match="FAKE_KEY") as refused:
        served("http://127.0.0.1:1", api_key_env="FAKE_KEY")
    assert "secret" not in str(refused.value)


def test_the_key_is_sent_and_shown_nowhere(engines, served, prompts, monkeypatch, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FAKE_KEY", "sk-secret")
    engine = engines()
    generator = served(engine, api_key_env="FAKE_KEY")
    engine.set(fault="401")
    with pytest.raises(GeneratorError) as refused:
        generator.generate(prompts, SAMPLING, seeds=[[1]] * len(prompts))
    shown = str(refused.value)
    assert "401" in shown
    assert "wrong key Bearer ***" in shown
    assert "check generator.api_key_env" in shown
    assert len(shown) < 800
    chain = [refused.value, refused.value.__cause__, refused.value.__context__, generator, generator._fleet.servers]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    texts = [caplog.text, json.dumps(engine.state()), *map(repr, chain), *map(repr, files)]
    assert not any("sk-secret" in text for text in texts)
