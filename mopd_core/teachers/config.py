"""Options of the built-in teachers; importable without torch."""

from __future__ import annotations

from pydantic import Field

from mopd_core.config.base import PluginConfig


class EmaConfig(PluginConfig):
    """An exponential moving average of the student: the self-teacher of the paper."""

    rate: float = Field(default=0.05, gt=0, le=1)
    """How far the average moves towards the student after every step."""


class LiveConfig(PluginConfig):
    """The student as it is now."""


class FrozenConfig(PluginConfig):
    """A model that never changes: the initial student, or another checkpoint with the same vocabulary."""

    path: str | None = None
    """A folder or Hugging Face name; the student's initial weights when null."""


class TrustRegionConfig(PluginConfig):
    """The initial and the present student's logits, mixed, so that the teacher stays near where it began."""

    current_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of the present student's logits; the initial model has the rest."""
