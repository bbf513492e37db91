"""Scripted verifiers: what each says of a response stands in the response, and it keeps account of what it saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mopd_core.config.base import PluginConfig
from mopd_core.config.load import load_verifier
from mopd_core.contexts import RunContext
from mopd_core.errors import DataError
from mopd_core.registry import Registries, load_plugins
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.combine.config import CombineConfig
from mopd_verifiers.combine.verifier import build as build_combine


class ScriptedConfig(PluginConfig):
    """Says what the response asks it to say."""

    result_neutral = frozenset({"workers"})

    label: str = "a"
    """Under which key of the response its verdict stands."""

    workers: int = 1
    """No verdict depends on it."""

    breaks: bool = False
    """Cannot be built."""


class Scripted:
    """The response is a JSON object: label -> [reward, status, feedback, caveats]."""

    def __init__(self, config: ScriptedConfig, closed: list[str]) -> None:
        self.label = config.label
        self.seen: list[VerifyItem] = []
        self.checked: list[VerifyItem] = []
        self.fails_to_close = False
        self._closed = closed

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        self.seen.extend(items)
        return [self._verdict(json.loads(item.response)[self.label]) for item in items]

    def _verdict(self, said: list[Any]) -> Verdict:
        reward, status, *more = said
        feedback, caveats = [*more, None, ()][:2]
        return Verdict(reward, status, feedback, tuple(caveats or ()))

    def check(self, items: Sequence[VerifyItem]) -> None:
        self.checked.extend(items)
        for item in items:
            if item.reference == "bad":
                raise DataError(f"prompt {item.prompt_id!r}: {self.label} cannot use 'bad'")

    def close(self) -> None:
        self._closed.append(self.label)
        if self.fails_to_close:
            raise OSError(f"{self.label} does not close")


class Scene:
    """The installed verifiers, `combine` and scripted ones, and what was built of them."""

    def __init__(self) -> None:
        self.registries: Registries = load_plugins(points=[])
        self.built: dict[str, Scripted] = {}
        self.closed: list[str] = []
        self.registries["verifiers"].add("scripted", ScriptedConfig, self._build)
        self.registries["verifiers"].add("combine", CombineConfig, build_combine)

    def _build(self, config: ScriptedConfig, context: RunContext) -> Scripted:
        if config.breaks:
            raise RuntimeError("no such thing")
        self.built[config.label] = Scripted(config, self.closed)
        return self.built[config.label]

    def config(self, rule: str, parts: Sequence[Any], *options: str) -> Any:
        """The typed options of a `combine`, as a run's config would give them."""
        given = [f"verifier.rule={rule}", f"verifier.parts={json.dumps(list(parts))}", *options]
        return load_verifier("combine", self.registries, given)

    def combine(self, rule: str, parts: Sequence[Any], *options: str) -> Any:
        """A `combine`, built through the registry. A part that is text is a scripted verifier with that label."""
        whole = [{"verifier": {"name": "scripted", "label": part}} if isinstance(part, str) else part for part in parts]
        config = self.config(rule, whole, *options)
        return self.registries["verifiers"].build(config, RunContext(0, self.registries, None))


@pytest.fixture
def scene() -> Scene:
    return Scene()
