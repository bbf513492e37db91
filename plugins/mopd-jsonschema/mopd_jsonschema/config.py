"""The options of the verifier `json-schema`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mopd_core import PluginConfig


class JsonSchemaConfig(PluginConfig):
    """JSON in the response, validated against a JSON Schema."""

    feedback: Literal["full", "paths"] = "full"
    """What the teacher is told: violations with their messages, or only where they are and the keyword violated."""

    max_violations: int = Field(default=3, ge=1, le=20)
    """Violations named in the feedback."""

    max_chars: int = Field(default=100_000, ge=1)
    """Longest JSON text that is looked at, in characters; a longer one fails."""
