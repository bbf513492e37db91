"""The plugin of the bundled generators. A new generator is one line here."""

from __future__ import annotations

from mopd_backends.hf.config import HfConfig
from mopd_core.contexts import ModelContext
from mopd_core.hookspecs import hookimpl
from mopd_core.interfaces import Generator
from mopd_core.registry import Registry, lazy


@hookimpl
def mopd_register_generators(registry: Registry[Generator, ModelContext]) -> None:
    """What samples rollouts."""
    registry.add("hf", HfConfig, lazy("mopd_backends.hf.generator:build"))
