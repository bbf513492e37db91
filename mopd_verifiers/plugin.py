"""The plugin of the bundled verifiers. A new verifier is one line here."""

from __future__ import annotations

from mopd_core.contexts import RunContext
from mopd_core.hookspecs import hookimpl
from mopd_core.interfaces import Verifier
from mopd_core.registry import Registry, lazy
from mopd_verifiers.math.config import MathConfig


@hookimpl
def mopd_register_verifiers(registry: Registry[Verifier, RunContext]) -> None:
    """What judges responses."""
    registry.add("math", MathConfig, lazy("mopd_verifiers.math.verifier:build"))
