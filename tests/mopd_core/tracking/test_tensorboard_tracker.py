from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from mopd_core.contexts import RunContext
from mopd_core.errors import ConfigError
from mopd_core.interfaces import Tracker
from mopd_core.registry import load_plugins
from mopd_core.testing.trackers import TrackerSuite
from mopd_core.tracking.config import TensorBoardConfig
from mopd_core.tracking.tensorboard import TensorBoardTracker, build
from mopd_core.types import StepRecord


def context(folder: Path | None) -> RunContext:
    return RunContext(seed=0, registries=load_plugins(points=[]), folder=folder)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


class TestTensorBoardTracker(TrackerSuite):
    @pytest.fixture
    def tracker(self, tmp_path: Path) -> Tracker:
        pytest.importorskip("tensorboard")
        return TensorBoardTracker(tmp_path)


def test_the_options_import_neither_torch_nor_tensorboard() -> None:
    code = "import sys, mopd_core.tracking.config as _; sys.exit(bool({'torch', 'tensorboard'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_finite_metric_is_a_scalar(tmp_path: Path) -> None:
    tracker = build(TensorBoardConfig(), context(tmp_path))
    tracker.log(StepRecord(1, {"train/loss": 0.5, "teacher/gain": math.nan}))
    tracker.log(StepRecord(2, {"train/loss": 0.25}))
    assert scalars(tmp_path / "tensorboard") == {"train/loss": [(1, 0.5), (2, 0.25)]}  # Readable before the end.
    tracker.close()


def test_a_resumed_run_hides_what_it_does_again(tmp_path: Path) -> None:
    config = TensorBoardConfig(folder="events")
    first = build(config, context(tmp_path))
    for step in (1, 2, 3):
        first.log(StepRecord(step, {"train/loss": float(step)}))
    first.close()
    resumed = build(config, context(tmp_path))
    resumed.log(StepRecord(2, {"train/loss": 20.0}))
    resumed.close()
    assert scalars(tmp_path / "events") == {"train/loss": [(1, 1.0), (2, 20.0)]}


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'mopd\[tensorboard\]'"):
        build(TensorBoardConfig(), context(tmp_path))


def test_it_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="below a run's folder"):
        build(TensorBoardConfig(), context(None))
