"""A committed trace of the bundled default: what a change does to the numbers of a run is seen here, and is on purpose.

Compared to 1 part in 1,000: other processors round sums differently. After a change that is meant, copy the file that
the failing test names over the committed one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mopd_core.config.load import load_config
from mopd_core.registry import installed
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.training.run import train

COMMITTED = Path(__file__).with_name("trace.json")
TRACED = (
    "rollout/success_rate",
    "rollout/length_mean",
    "context/tokens",
    "train/loss",
    "train/grad_norm",
    "train/tokens",
    "policy/entropy",
    "teacher/gain",
)


def test_the_first_steps_are_the_committed_ones(tmp_path: Path):
    options = ["training.steps=3", "data.held_out=2", "evaluation.samples=2", "tracking.rollouts_every=0"]
    train(load_config(None, installed(), options=options), installed(), tmp_path / "run")
    metrics = RunFolder.open(tmp_path / "run").read_metrics()
    trace = [{name: line[name] for name in TRACED} for line in metrics]
    now = tmp_path / "trace.json"
    now.write_text(json.dumps(trace, indent=1) + "\n")
    committed = json.loads(COMMITTED.read_text())
    assert trace == [pytest.approx(line, rel=1e-3) for line in committed], f"if this is meant: cp {now} {COMMITTED}"
