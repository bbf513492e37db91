"""Every hook a plugin can implement. One entry-point group, `mopd`, points at a light module with implementations:

    from mopd_core import hookimpl

    @hookimpl
    def mopd_register_verifiers(registry):
        registry.add("my-verifier", MyConfig, build)

`build(config, context)` returns the implementation and is where heavy imports belong. A new kind gets its hook here,
its protocol in `interfaces` and its line in `registry.KINDS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from mopd_core.findings import Finding
from mopd_core.types import StepRecord

if TYPE_CHECKING:
    from mopd_core.contexts import ModelContext, RunContext
    from mopd_core.interfaces import (
        Divergence,
        Generator,
        Objective,
        PeerSelector,
        PromptSource,
        Teacher,
        Tracker,
        Verifier,
    )
    from mopd_core.registry import Registry

PROJECT = "mopd"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mopd_register_generators(registry: Registry[Generator, ModelContext]) -> None:
    """Add generators: what samples rollouts."""


@hookspec
def mopd_register_verifiers(registry: Registry[Verifier, RunContext]) -> None:
    """Add verifiers: what judges responses."""


@hookspec
def mopd_register_selectors(registry: Registry[PeerSelector, RunContext]) -> None:
    """Add peer selectors: what chooses the rollouts that the teacher is shown."""


@hookspec
def mopd_register_divergences(registry: Registry[Divergence, RunContext]) -> None:
    """Add divergences: how far the student's distribution is from the teacher's, a token at a time."""


@hookspec
def mopd_register_teachers(registry: Registry[Teacher, ModelContext]) -> None:
    """Add teachers: what scores a rollout in the teacher's context."""


@hookspec
def mopd_register_objectives(registry: Registry[Objective, ModelContext]) -> None:
    """Add objectives: how a step becomes two weights a token."""


@hookspec
def mopd_register_trackers(registry: Registry[Tracker, RunContext]) -> None:
    """Add trackers: what mirrors the metrics elsewhere."""


@hookspec
def mopd_register_datasets(registry: Registry[PromptSource, RunContext]) -> None:
    """Add data sets: where prompts come from."""


@hookspec
def mopd_run_started(folder: Path, config: Any) -> None:
    """A run starts: its folder, and its validated `RunConfig`."""


@hookspec
def mopd_step_finished(step: StepRecord) -> None:
    """A step is done and its metrics are on disk."""


@hookspec
def mopd_run_finished(folder: Path, summary: dict[str, Any]) -> None:
    """A run ended: its folder, and what `summary.json` holds."""


@hookspec
def mopd_examine() -> list[Finding]:
    """`mopd doctor` asks: what this plugin needs of the machine, and how that stands."""
    return []
