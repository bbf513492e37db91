"""What mopd's entry point loads: one hook, and a factory that imports jsonschema only when a verifier is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mopd_core import hookimpl
from mopd_jsonschema.config import JsonSchemaConfig

if TYPE_CHECKING:
    from mopd_core.contexts import RunContext
    from mopd_core.interfaces import Verifier
    from mopd_core.registry import Registry


def build(config: JsonSchemaConfig, context: RunContext) -> Verifier:
    """Build the verifier."""
    from mopd_jsonschema.verifier import JsonSchemaVerifier

    return JsonSchemaVerifier(config)


@hookimpl
def mopd_register_verifiers(registry: Registry[Verifier, RunContext]) -> None:
    """Register `json-schema`."""
    registry.add("json-schema", JsonSchemaConfig, build)
