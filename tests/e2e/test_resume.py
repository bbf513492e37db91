"""A run that was killed or interrupted at any moment, then resumed, ends in the same bytes as one that was left alone.

1. Weights, teacher, optimiser and best checkpoint are equal byte for byte, and so is every step's file of rollouts.
2. Every step has one line of metrics, with the same values; only times differ.
3. Ctrl-C and SIGTERM finish the step, save, say how to go on, and leave with code 130.
4. Nothing that a run started outlives it, whatever ended it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STEPS = 8
OPTIONS = {"training__steps": STEPS, "training__save_every": 4, "evaluation__every": 5, "rollout__prompts": 3}
WAIT_S = 120
DEATH_S = 5
"""How long workers may take to notice that their trainer is gone."""

HANGS = r"\boxed{9^{9^{9^{9}}}}"
"""An answer that the verifier would work on for as long as it is let."""

Moment = Callable[[Path], bool]


@pytest.fixture(scope="module")
def whole(program: Path, command: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    command([program], folder).run("--out", "here", **OPTIONS).ok()
    return folder / "here"


def steps_done(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def in_step(number: int) -> Moment:
    return lambda run: steps_done(run) >= number - 1 and (run / "config.json").exists()


def saved(step: int) -> Moment:
    return lambda run: (run / "checkpoints" / f"step-{step:06d}").exists()


def saving(step: int) -> Moment:
    return lambda run: (run / "checkpoints" / f".step-{step:06d}.partial").exists() or saved(step)(run)


def wait(moment: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not moment():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)


def session(leader: int) -> dict[str, int]:
    """The live processes in a session: their command lines, and the groups that they are in."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, group, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == leader and state != "Z":
                found[(entry / "cmdline").read_text().replace("\0", " ")] = int(group)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def workers(leader: int) -> list[int]:
    """The groups of the math verifier's workers in a session."""
    return [group for line, group in session(leader).items() if "mopd_verifiers.math.worker" in line]


def assert_nothing_is_left(leader: int) -> None:
    deadline = time.monotonic() + DEATH_S
    while left := session(leader):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def files(checkpoint: Path) -> dict[str, bytes]:
    """What has to be equal: all but the manifest's checksum of the state, and the seconds in that."""
    found = {str(path.relative_to(checkpoint)): path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}
    del found["manifest.json"]
    state = json.loads(found.pop("trainer/state.json"))
    return {**found, "state": json.dumps({**state, "seconds": None}).encode()}


def metrics(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith("time/")} for line in lines]


def assert_same(run: Path, whole: Path) -> None:
    for link in ("last", "best"):
        mine, other = (folder / "checkpoints" / link for folder in (run, whole))
        assert mine.exists() == other.exists()
        assert mine.resolve().name == other.resolve().name
        if mine.exists():
            assert files(mine) == files(other)
    assert [line["step"] for line in metrics(run)] == list(range(1, STEPS + 1))
    assert metrics(run) == metrics(whole)
    rollouts = {path.name: path.read_bytes() for path in (run / "rollouts").iterdir()}
    assert rollouts == {path.name: path.read_bytes() for path in (whole / "rollouts").iterdir()}
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in (run, whole)]
    assert summaries[0] | {"seconds": 0} == summaries[1] | {"seconds": 0}


def test_the_whole_run_is_what_the_others_are_measured_by(whole: Path):
    last = whole / "checkpoints" / "last"
    assert last.resolve().name == f"step-{STEPS:06d}"
    assert {"model.safetensors", "trainer/optimizer.pt", "trainer/teacher.safetensors"} <= files(last).keys()


@dataclass(frozen=True)
class Kill:
    """When the trainer is killed (after a moment, and if `later` a drawn part of a step after that), and how."""

    moment: Moment
    later: bool
    stop: Callable[[subprocess.Popen[str]], None]
    repeats_options: bool


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run had ended before it was killed"


def press_ctrl_c_twice(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err


KILLS = {
    "before the first checkpoint": Kill(in_step(2), True, kill, repeats_options=True),
    "while a checkpoint is written": Kill(saving(4), False, kill, repeats_options=False),
    "right after a checkpoint": Kill(saved(4), False, kill, repeats_options=True),
    "while a later step runs, by two Ctrl-C": Kill(in_step(6), True, press_ctrl_c_twice, repeats_options=False),
}


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_run_resumes_to_the_same_bytes(mopd, tmp_path: Path, whole: Path, name: str):
    how, run = KILLS[name], tmp_path / "here"
    process = mopd.start("run", *mopd.small(**OPTIONS), "--out", run)
    wait(lambda: how.moment(run), process)
    if how.later:
        time.sleep(random.Random(name).uniform(0.0, 0.1))
    how.stop(process)
    assert_nothing_is_left(process.pid)
    mopd("run", *(mopd.small(**OPTIONS) if how.repeats_options else ()), "--out", run, "--resume").ok()
    assert_same(run, whole)


@pytest.mark.parametrize("name", ["Ctrl-C on the terminal", "SIGTERM to the trainer"])
def test_an_interrupted_run_saves_says_how_to_go_on_and_resumes_to_the_same_bytes(
    mopd, tmp_path: Path, whole: Path, name: str
):
    run = tmp_path / "here"
    process = mopd.start("run", *mopd.small(**OPTIONS), "--out", run)
    wait(lambda: steps_done(run) >= 2, process)
    assert workers(process.pid)
    assert process.pid not in workers(process.pid), "what reaches the trainer's group reaches its workers"
    if name.startswith("Ctrl-C"):
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert sum("asked to stop" in line for line in err.splitlines()) == 1
    (advice,) = [line for line in out.splitlines() if "--resume" in line]
    assert f"mopd run --resume --out {run} " in advice
    assert_nothing_is_left(process.pid)
    stopped = steps_done(run)
    assert (run / "checkpoints" / "last").resolve().name == f"step-{stopped:06d}"
    assert json.loads((run / "summary.json").read_text())["finished"] is False
    done = mopd("run", "--resume", "--out", run).ok()
    assert f"step {stopped + 1}/{STEPS}" in done.err
    assert f"step {stopped}/{STEPS}" not in done.err
    assert_same(run, whole)


def test_workers_die_with_their_trainer_even_while_they_work(mopd, tmp_path: Path):
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"response": HANGS, "reference": "7"}) + "\n", encoding="utf-8")
    settings = ("-o", "verifier.timeout_s=60", "-o", "verifier.workers=1")
    process = mopd.start("verify", answers, "--verifier", "math", *settings)
    wait(lambda: bool(workers(process.pid)), process)
    time.sleep(1.5)
    assert process.poll() is None, "the answer was judged before the trainer was killed"
    process.kill()
    process.communicate()
    assert_nothing_is_left(process.pid)
