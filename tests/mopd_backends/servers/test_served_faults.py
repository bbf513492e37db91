"""Servers that die, hang, lie or refuse: no rollout is lost or doubled, or the run stops with one clear error."""

from __future__ import annotations

import logging
import random
import re
import threading
import time

import pytest

from mopd_core.errors import GeneratorError
from mopd_core.testing.generators import ModuleWeights
from mopd_core.testing.tiny import tiny_student
from mopd_core.types import Sampling

SAMPLING = Sampling(max_tokens=12)


def ids_of(groups):
    return [[rollout.token_ids.tolist() for rollout in group] for group in groups]


@pytest.fixture
def expected(engines, served, prompts, seeds):
    """The rollouts of an undisturbed run with synced weights."""
    generator = served(engines())
    generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 5)
    return ids_of(generator.generate(prompts, SAMPLING, seeds=seeds))


@pytest.fixture
def synced(served):
    def build(*over, **options):
        generator = served(*over, **options)
        generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 5)
        return generator

    return build


def stream_all(generator, prompts, seeds, on_arrival=lambda number: None):
    """What a stream gives, by its place; a place that comes twice fails."""
    rollouts = {}
    for p, g, rollout in generator.stream(prompts, SAMPLING, seeds=seeds):
        assert (p, g) not in rollouts
        assert rollout.version == 5
        rollouts[p, g] = rollout.token_ids.tolist()
        on_arrival(len(rollouts))
    return [[rollouts[p, g] for g in range(len(group))] for p, group in enumerate(seeds)]


def test_a_server_that_is_killed_in_a_step_is_waited_for(engines, synced, expected, prompts, seeds, caplog):
    engine = engines(delay_s=0.05)
    generator = synced(engine, concurrency=4)
    revival = threading.Timer(2.0, engine.start)

    def kill(number: int) -> None:
        if number == 6:
            engine.kill()
            revival.start()

    assert stream_all(generator, prompts, seeds, kill) == expected
    revival.join()
    assert engine.state()["version"] == 5
    assert f"server {engine.url} is out until it answers again" in caplog.text
    assert caplog.text.count("waiting for a server") == 1


def test_of_two_servers_one_may_be_killed_for_good(engines, synced, expected, prompts, seeds):
    engine, other = engines(delay_s=0.05), engines(delay_s=0.05)
    generator = synced(engine, other, concurrency=4)
    assert stream_all(generator, prompts, seeds, lambda number: engine.kill() if number == 6 else None) == expected
    start = time.monotonic()
    assert stream_all(generator, prompts, seeds) == expected
    assert time.monotonic() - start < 15
    generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 6)
    assert other.state()["version"] == 6


def test_ten_kills_at_random_moments_lose_and_double_nothing(engines, synced, expected, prompts, seeds):
    """Two servers, either of which is killed and started again at moments drawn from a seed."""
    pair = engines(delay_s=0.02), engines(delay_s=0.02)
    generator = synced(*pair, concurrency=4)
    moments = random.Random(0)
    for _ in range(10):
        victim, moment = moments.choice(pair), moments.randrange(32)
        restarts: list[threading.Thread] = []

        def kill(number: int, victim=victim, moment=moment, restarts=restarts) -> None:
            if number == moment:
                victim.kill()
                restarts.append(threading.Thread(target=victim.start))
                restarts[0].start()

        assert stream_all(generator, prompts, seeds, kill) == expected
        for restart in restarts:
            restart.join()


def test_a_server_that_was_started_again_unseen_is_given_the_weights(engines, synced, expected, prompts, seeds):
    engine = engines()
    generator = synced(engine)
    engine.kill()
    engine.start()
    assert engine.state()["version"] is None
    assert stream_all(generator, prompts, seeds) == expected
    assert engine.state()["loads"] == 1


def test_old_weights_are_noticed_in_the_answer(engines, synced, expected, prompts, seeds):
    """Somebody loads other weights after the server was let in."""
    engine = engines(delay_s=0.02)
    generator = synced(engine, concurrency=4)

    def replace_weights(number: int) -> None:
        if number == 5:
            engine.kill()
            engine.start()

    assert stream_all(generator, prompts, seeds, replace_weights) == expected


@pytest.mark.parametrize("fault", ["500", "429", "cut", "abort"])
def test_faults_that_pass_are_waited_out(engines, synced, expected, prompts, seeds, fault: str):
    engine = engines()
    generator = synced(engine)
    engine.set(fault=fault)
    threading.Timer(1.0, lambda: engine.set(fault=None)).start()
    assert stream_all(generator, prompts, seeds) == expected


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param("garbage", "an answer has no ids", id="garbage"),
        pytest.param("foreign", "the token id 40, and the student's vocabulary has 40", id="foreign"),
        pytest.param("401", "refuses a request: 401", id="refused"),
    ],
)
def test_what_asking_again_cannot_mend_stops_at_once(engines, synced, prompts, seeds, fault: str, message: str):
    engine = engines()
    generator = synced(engine)
    engine.set(fault=fault)
    start = time.monotonic()
    with pytest.raises(GeneratorError, match=message) as stopped:
        stream_all(generator, prompts, seeds)
    assert engine.url in str(stopped.value)
    assert time.monotonic() - start < 15


def test_a_server_that_answers_500_for_ever_ends_the_wait(engines, synced, prompts, seeds):
    engine = engines()
    generator = synced(engine, max_wait_s=3.0)
    engine.set(fault="500")
    start = time.monotonic()
    with pytest.raises(GeneratorError, match="no server could be asked for") as stopped:
        stream_all(generator, prompts, seeds)
    assert time.monotonic() - start < 20
    assert f"{engine.url}: 500 Internal Server Error" in str(stopped.value)
    assert "--resume" in str(stopped.value)


def test_servers_that_are_gone_for_good_end_the_wait_and_are_named(engines, synced, prompts, seeds):
    pair = engines(), engines()
    generator = synced(*pair, max_wait_s=2.0)
    for engine in pair:
        engine.kill()
    with pytest.raises(GeneratorError, match="no server could be asked for") as stopped:
        stream_all(generator, prompts, seeds)
    for engine in pair:
        assert re.search(re.escape(engine.url) + ": ConnectError", str(stopped.value))


def test_a_server_that_hangs_is_an_error_in_bounded_time(engines, synced, prompts, seeds):
    engine = engines()
    generator = synced(engine, request_timeout_s=0.3)
    engine.set(fault="hang")
    with pytest.raises(GeneratorError, match=r"no answer in 0.3 s, 3 times.*generator.request_timeout_s"):
        stream_all(generator, prompts, seeds)


def test_a_server_that_hangs_costs_the_other_one_little(engines, synced, expected, prompts, seeds):
    engine, other = engines(), engines(delay_s=0.02)
    generator = synced(engine, other, request_timeout_s=0.5)
    engine.set(fault="hang")
    assert stream_all(generator, prompts, seeds) == expected


def test_slow_servers_are_not_failures(engines, synced, expected, prompts, seeds, caplog):
    """Waiting for answers is not waiting for servers."""
    engine = engines()
    generator = synced(engine, max_wait_s=1.0)
    engine.set(delay_s=1.2)
    assert stream_all(generator, prompts, seeds) == expected
    assert "waiting for a server" not in caplog.text


def test_a_server_that_takes_no_weights_is_out(engines, synced, expected, prompts, seeds, caplog):
    engine, other = engines(), engines()
    generator = synced(engine, other)
    engine.set(fault="load")
    generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 5)
    assert "refuses a request: 400 Bad Request" in caplog.text
    asked = len(engine.state()["prompts"])
    assert stream_all(generator, prompts, seeds) == expected
    assert len(engine.state()["prompts"]) == asked


def test_a_server_that_hangs_with_the_weights_does_not_stop_the_others(engines, synced, expected, prompts, seeds):
    slow, other = engines(), engines()
    generator = synced(slow, other, max_wait_s=2)
    slow.set(fault="hanging load")
    generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 5)
    assert stream_all(generator, prompts, seeds) == expected
    assert slow.state()["loads"] == 2


def test_where_no_server_takes_the_weights_the_sync_fails_at_once(engines, served):
    generator = served(engine := engines())
    engine.set(fault="load")
    with pytest.raises(GeneratorError, match="no such folder here"):
        generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 5)


def test_a_server_that_is_down_at_the_start_joins_later(engines, synced, expected, prompts, seeds, caplog):
    caplog.set_level(logging.WARNING)
    engine, late = engines(delay_s=0.05), engines()
    late.kill()
    generator = synced(engine, late, concurrency=4)
    late.start()
    assert stream_all(generator, prompts, seeds) == expected
    assert stream_all(generator, prompts, seeds) == expected
    assert late.state()["version"] == 5
