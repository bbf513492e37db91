"""The options of the sandbox, which verifiers that run programs hold under `sandbox`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from mopd_core.config.base import ConfigModel

Layer: TypeAlias = Literal["rlimits", "uid", "landlock", "seccomp", "namespaces"]

DEFAULT_LAYERS: tuple[Layer, ...] = ("rlimits", "landlock", "seccomp")
"""What a sandbox needs to keep every attack of the hostile suite in."""


class SandboxConfig(ConfigModel):
    """How programs of a model are confined. Every layer that the machine offers is put on, required or not."""

    require: tuple[Layer, ...] = DEFAULT_LAYERS
    """Layers without which nothing is run. Leaving out one of the default's that the machine lacks lets programs run
    without it; every verdict then says so."""

    bubblewrap: bool = False
    """Whether to put bubblewrap (`bwrap`) around each worker, as one more wall."""
