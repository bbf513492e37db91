"""The plugin of the bundled generators. A new generator is one line here."""

from __future__ import annotations

from mopd_backends.hf.config import HfConfig
from mopd_backends.sglang.config import SglangConfig
from mopd_backends.vllm.config import VllmConfig
from mopd_core.contexts import ModelContext
from mopd_core.hookspecs import hookimpl
from mopd_core.interfaces import Generator
from mopd_core.registry import Registry, lazy


@hookimpl
def mopd_register_generators(registry: Registry[Generator, ModelContext]) -> None:
    """What samples rollouts."""
    registry.add("hf", HfConfig, lazy("mopd_backends.hf.generator:build"))
    registry.add("sglang", SglangConfig, lazy("mopd_backends.sglang.engine:build"))
    registry.add("vllm", VllmConfig, lazy("mopd_backends.vllm.generator:build"))
