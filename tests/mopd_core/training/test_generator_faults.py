"""What the loop does about a generator that gives up, or that does not have the weights that it was given."""

from __future__ import annotations

import itertools
import types

import numpy as np
import pytest

from mopd_backends.hf.config import HfConfig
from mopd_backends.hf.generator import HfGenerator
from mopd_core.errors import GeneratorError
from mopd_core.testing.tiny import tiny_student
from mopd_core.types import Verdict

EVERY = "training.save_every=100"


def gives_up_at(script, step):
    def answer(prompt_id, index, version):
        if version >= step - 1:
            raise GeneratorError("no server answers")
        return "right 1" if index % 2 else "wrong 2"

    script.held_out = 0
    script.answer = answer


@pytest.mark.parametrize("staleness", [0, 1])
def test_the_state_is_saved_when_the_generator_gives_up(train_scripted, script, staleness):
    """No checkpoint was due yet: the run goes on from the step that was finished."""
    ahead = (f"rollout.max_staleness={staleness}", "objective.importance_clip=2")
    gives_up_at(script, 3)
    with pytest.raises(GeneratorError, match="no server answers"):
        train_scripted(EVERY, *ahead)
    script.answer = lambda prompt_id, index, version: "right 1" if index % 2 else "wrong 2"
    run = train_scripted(EVERY, *ahead, resume=True)
    assert run.summary["finished"]
    assert [line["step"] for line in run.folder.read_metrics()] == [1, 2, 3, 4]
    assert "resuming after step" in run.folder.log_path.read_text()


def test_before_the_first_step_there_is_nothing_to_save(train_scripted, script, tmp_path):
    gives_up_at(script, 1)
    with pytest.raises(GeneratorError, match="no server answers"):
        train_scripted(EVERY)
    assert not any((tmp_path / "run" / "checkpoints").glob("*"))


@pytest.fixture
def train_hf(train_scripted):
    return lambda *options: train_scripted("training.steps=2", *options, generator="hf")


def test_with_the_weights_in_place_the_canary_is_quiet(train_hf, script):
    script.held_out = 0
    metrics = train_hf().folder.read_metrics()
    assert all(0 <= line["canary/mean"] <= line["canary/max"] < 1e-4 for line in metrics if line["train/tokens"])


def test_a_sync_that_does_nothing_stops_the_run(train_hf, script, monkeypatch):
    script.held_out = 0
    verdicts = itertools.cycle([Verdict(1.0, "passed"), Verdict(0.0, "failed")])
    script.judge = lambda text: next(verdicts)
    monkeypatch.setattr(HfGenerator, "sync_weights", lambda self, weights, version: None)
    with pytest.raises(GeneratorError, match=r"the canary: .*version 1.* generator 'hf'"):
        train_hf("objective=grpo")


def test_a_generator_that_starts_with_other_weights_stops_the_run(train_hf, script, monkeypatch):
    score = HfGenerator.score
    monkeypatch.setattr(HfGenerator, "score", lambda self, probe: [row - 0.5 for row in score(self, probe)])
    with pytest.raises(GeneratorError, match=r"version 0.* off by 0\.5 nats on average; allowed: 0\.001"):
        train_hf()


def test_a_large_mismatch_is_said_once(train_scripted, script):
    """The scripted generator says log p = -1 of every token, which is not so."""
    run = train_scripted()
    assert run.said.count("the alarm is at 0.1") == 1
    assert "the alarm is at" not in train_scripted("rollout.mismatch_alarm=100", folder="other").said


@pytest.fixture
def tiny_generator():
    model = tiny_student()
    model.set_attn_implementation("sdpa")
    return HfGenerator(HfConfig(), model, types.SimpleNamespace())


def test_score_of_hf_is_that_of_each_sequence_alone(tiny_generator):
    sequences = [np.arange(3, 3 + n, dtype=np.int32) for n in (9, 2, 30)]
    together = tiny_generator.score(sequences)
    assert [len(each) for each in together] == [8, 1, 29]
    for ids, scores in zip(sequences, together, strict=True):
        assert scores == pytest.approx(tiny_generator.score([ids])[0], abs=1e-5)
        assert (scores <= 0).all()
