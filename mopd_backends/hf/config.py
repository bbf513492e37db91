"""Options of generator `hf`. Imports no torch: listings and schemas read this file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mopd_core.config.base import PluginConfig


class HfConfig(PluginConfig):
    """transformers in this process: no server, CPU or one GPU."""

    result_neutral: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    batch_size: int = Field(default=256, ge=1)
    """Rollouts decoded at once. More is faster and takes more memory; which rollouts come out does not depend on it."""
