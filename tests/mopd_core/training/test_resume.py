"""A run that was cut and resumed is the run that was not: bit for bit, in all that it leaves behind but times."""

from __future__ import annotations

import os
import signal
import zlib

import pytest

from mopd_core.errors import CheckpointError, ConfigError, PluginError
from mopd_core.types import Verdict

SAMPLED = {"generator": "hf", "divergence": "jsd", "data": "bundled"}
OPTIONS = (
    "training.steps=6",
    "training.schedule=cosine",
    "data.train=8",
    "data.held_out=3",
    "rollout.sampling.max_tokens=12",
    "evaluation.every=2",
    "training.save_every=2",
)


def judge_by_checksum(text):
    """A verdict that depends on every character: half of all texts pass."""
    return Verdict(1.0, "passed") if zlib.crc32(text.encode()) % 2 else Verdict(0.0, "failed")


@pytest.fixture
def run_on_samples(train_scripted, script):
    """A run on what the student itself samples."""
    script.judge = judge_by_checksum
    return lambda *options, **choices: train_scripted(*OPTIONS, *options, **SAMPLED | choices)


def stop_after(script, last):
    script.on_step = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == last else None


def crash_after(script, last):
    def crash(step):
        if step == last:
            raise RuntimeError("the power is gone")

    script.on_step = crash


@pytest.mark.parametrize(
    ("objective", "teacher", "options"),
    [
        ("distill", "ema", ["selector.name=contrastive"]),
        ("weighted-sum", "trust-region", ["divergence.top_k=20"]),
    ],
    ids=["distill with ema", "weighted sum with trust region"],
)
def test_three_steps_and_three_more_are_six(run_on_samples, script, outcome_of, objective, teacher, options):
    choices = {"objective": objective, "teacher": teacher}
    run_on_samples(*options, folder="whole", **choices)
    stop_after(script, 3)
    assert run_on_samples(*options, folder="cut", **choices).summary["steps"] == 3
    script.on_step = lambda step: None
    assert run_on_samples(*options, folder="cut", resume=True, **choices).summary["finished"] is True
    whole, cut = outcome_of("whole"), outcome_of("cut")
    assert cut == whole
    assert [line["step"] for line in whole["metrics"]] == [1, 2, 3, 4, 5, 6]
    assert whole["weights"].keys() == {"model.safetensors", "trainer/optimizer.pt", "trainer/teacher.safetensors"}
    assert all(line["train/tokens"] > 0 for line in whole["metrics"])


def test_another_seed_is_another_run(run_on_samples, outcome_of):
    run_on_samples("training.steps=2", folder="one")
    run_on_samples("training.steps=2", "seed=1", folder="other")
    one, other = outcome_of("one"), outcome_of("other")
    assert one["metrics"] != other["metrics"]
    assert one["weights"]["model.safetensors"] != other["weights"]["model.safetensors"]


@pytest.mark.parametrize("last", [1, 3], ids=["before the first checkpoint", "after one"])
def test_a_crash_loses_only_what_came_after_the_checkpoint(run_on_samples, script, outcome_of, last):
    """Step 3 was recorded and is forgotten: it is done again from the checkpoint of step 2."""
    run_on_samples("evaluation.every=0", "training.steps=4", folder="whole")
    crash_after(script, last)
    with pytest.raises(PluginError, match="the power is gone"):
        run_on_samples("evaluation.every=0", "training.steps=4", folder="cut")
    script.on_step = lambda step: None
    run_on_samples("evaluation.every=0", "training.steps=4", folder="cut", resume=True)
    assert outcome_of("cut") == outcome_of("whole")


def test_a_damaged_last_checkpoint_falls_back_to_the_best(run_on_samples, script, outcome_of, tmp_path):
    script.judge = lambda text: Verdict(1.0, "passed") if len(text) % 2 else Verdict(0.0, "failed")
    run_on_samples(folder="whole")
    stop_after(script, 5)
    run_on_samples(folder="cut")
    script.on_step = lambda step: None
    last = (tmp_path / "cut/checkpoints/last").resolve()
    assert last.name == "step-000005"
    (last / "model.safetensors").write_bytes(b"")
    run_on_samples(folder="cut", resume=True)
    whole, cut = outcome_of("whole"), outcome_of("cut")
    assert cut == whole


def test_a_finished_run_resumes_to_the_same_end(run_on_samples, outcome_of):
    run_on_samples("training.steps=2", folder="cut")
    first = outcome_of("cut")
    run_on_samples("training.steps=2", folder="cut", resume=True)
    assert outcome_of("cut") == first


def test_a_folder_without_a_run_cannot_be_resumed(run_on_samples, tmp_path):
    with pytest.raises(CheckpointError, match="holds no run"):
        run_on_samples(folder="nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_run_of_another_config_cannot_be_resumed(run_on_samples, script):
    stop_after(script, 1)
    run_on_samples(folder="cut")
    with pytest.raises((ConfigError, CheckpointError), match="seed"):
        run_on_samples("seed=5", folder="cut", resume=True)


def test_fewer_steps_than_are_done_are_refused_and_nothing_is_lost(run_on_samples, outcome_of):
    run_on_samples("training.schedule=constant", "training.steps=3")
    before = outcome_of("run")
    with pytest.raises(CheckpointError, match=r"has already done 3 steps; training\.steps is 1"):
        run_on_samples("training.schedule=constant", "training.steps=1", resume=True)
    assert outcome_of("run") == before


def test_other_data_are_refused(train_scripted, script):
    train_scripted("training.steps=2")
    script.train += 1
    with pytest.raises(CheckpointError, match="the training prompts are not those that the run was started with"):
        train_scripted("training.steps=4", resume=True)
