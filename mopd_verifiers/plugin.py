"""The plugin of the bundled verifiers. A new verifier is one line here."""

from __future__ import annotations

from mopd_core.contexts import RunContext
from mopd_core.findings import Finding
from mopd_core.hookspecs import hookimpl
from mopd_core.interfaces import Verifier
from mopd_core.registry import Registry, lazy
from mopd_verifiers.choice.config import ChoiceConfig
from mopd_verifiers.code.config import CodeConfig
from mopd_verifiers.combine.config import CombineConfig
from mopd_verifiers.length.config import LengthConfig
from mopd_verifiers.math.config import MathConfig
from mopd_verifiers.response_format.config import FormatConfig
from mopd_verifiers.tool_use.config import ToolUseConfig
from mopd_verifiers.unit_tests.config import UnitTestsConfig


@hookimpl
def mopd_register_verifiers(registry: Registry[Verifier, RunContext]) -> None:
    """What judges responses."""
    registry.add("code", CodeConfig, lazy("mopd_verifiers.code.verifier:build"))
    registry.add("math", MathConfig, lazy("mopd_verifiers.math.verifier:build"))
    registry.add("combine", CombineConfig, lazy("mopd_verifiers.combine.verifier:build"))
    registry.add("format", FormatConfig, lazy("mopd_verifiers.response_format.verifier:build"))
    registry.add("length", LengthConfig, lazy("mopd_verifiers.length.verifier:build"))
    registry.add("choice", ChoiceConfig, lazy("mopd_verifiers.choice.verifier:build"))
    registry.add("tool-use", ToolUseConfig, lazy("mopd_verifiers.tool_use.verifier:build"))
    registry.add("unit-tests", UnitTestsConfig, lazy("mopd_verifiers.unit_tests.verifier:build"))


@hookimpl
def mopd_examine() -> list[Finding]:
    """The layers of the sandbox, each tried. Verifiers that run programs need those of the default."""
    from mopd_verifiers.sandbox.config import DEFAULT_LAYERS
    from mopd_verifiers.sandbox.probe import examine

    return [
        Finding(f"sandbox: {layer}", "ok" if holds else "problem" if layer in DEFAULT_LAYERS else "note", detail)
        for layer, holds, detail in examine()
    ]
