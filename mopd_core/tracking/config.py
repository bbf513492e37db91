"""The options of the trackers that ship with the core; a new tracker's go here. Imports no tracker's library."""

from __future__ import annotations

from mopd_core.config.base import PluginConfig


class TensorBoardConfig(PluginConfig):
    """Event files for TensorBoard, one scalar a metric."""

    folder: str = "tensorboard"
    """Where the event files go; a relative path starts at the run's folder."""
