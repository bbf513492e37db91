"""The plugin of what samples or teaches through an engine. A new one is one line here."""

from __future__ import annotations

from mopd_backends.hf.config import HfConfig
from mopd_backends.served_teacher.config import ServedTeacherConfig
from mopd_backends.sglang.config import SglangConfig
from mopd_backends.vllm.config import VllmConfig
from mopd_core.contexts import ModelContext
from mopd_core.hookspecs import hookimpl
from mopd_core.interfaces import Generator, Teacher
from mopd_core.registry import Registry, lazy


@hookimpl
def mopd_register_generators(registry: Registry[Generator, ModelContext]) -> None:
    """What samples rollouts."""
    registry.add("hf", HfConfig, lazy("mopd_backends.hf.generator:build"))
    registry.add("sglang", SglangConfig, lazy("mopd_backends.sglang.engine:build"))
    registry.add("vllm", VllmConfig, lazy("mopd_backends.vllm.generator:build"))


@hookimpl
def mopd_register_teachers(registry: Registry[Teacher, ModelContext]) -> None:
    """Teachers that are no models in this process."""
    registry.add("served", ServedTeacherConfig, lazy("mopd_backends.served_teacher.teacher:build"))
