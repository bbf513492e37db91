"""The tracker `tensorboard`: every metric of a step as a scalar in an event file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mopd_core.contexts import RunContext
from mopd_core.errors import ConfigError
from mopd_core.tracking.config import TensorBoardConfig
from mopd_core.types import StepRecord


class TensorBoardTracker:
    """Writes scalars to `folder`. What an earlier run logged there, from this one's first step on, is hidden."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer_type = _writer_type()
        self._writer: Any = None

    def log(self, record: StepRecord) -> None:
        """Write the step's finite metrics; TensorBoard has no mark for the others."""
        if self._writer is None:
            self._writer = self._writer_type(str(self._folder), purge_step=record.step)
        for name, value in record.metrics.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, record.step)
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the file. Calling it twice is fine."""
        if self._writer is not None:
            self._writer.close()


def build(config: TensorBoardConfig, context: RunContext) -> TensorBoardTracker:
    """The factory registered as tracker `tensorboard`."""
    if context.folder is None:
        raise ConfigError("the tracker 'tensorboard' writes below a run's folder, and there is none here; leave it out")
    return TensorBoardTracker(context.folder / config.folder)


def _writer_type() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "the tracker 'tensorboard' needs the tensorboard library: pip install 'mopd[tensorboard]'"
        ) from error
    return SummaryWriter
