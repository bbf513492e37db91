"""Layers of a config as plain trees, merged into one: later layers win, and a section's options belong to its plugin.

Nothing is validated here: what a layer says is checked once, after the merge. A new source of settings (a command-line
option, say) becomes one more layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic_core import PydanticUndefined

from mopd_core.config.base import ConfigModel, OptionText
from mopd_core.config.choices import Place, as_choice, place_of
from mopd_core.config.compose import PLUGIN_SECTIONS, RunConfig
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries, Registry

Tree: TypeAlias = Mapping[str, Any]

_SECTIONS = {section.field: section for section in PLUGIN_SECTIONS}
_IMPLIED = {"datasets": ("path", "table")}
"""An option that chooses a plugin where the one chosen so far has no such option: `-o data.path=FILE` is enough."""


def default_layer(composed: type[RunConfig]) -> Tree:
    """The plugins that are chosen where nobody says; all other defaults are in the schema."""
    fields = {field: composed.model_fields[field] for field in _SECTIONS}
    return {name: field.default for name, field in fields.items() if field.default is not PydanticUndefined}


def choice_layer(choices: Mapping[str, str | None]) -> Tree:
    """A layer that chooses plugins by name (`--generator vllm`); None leaves the choice alone."""
    return {field: {"name": name} for field, name in choices.items() if name is not None}


def option_layer(options: Iterable[str]) -> Tree:
    """The layer of all `path=value` options, in any order but that of two values for one path, where the last counts.

    Values become `OptionText`. Raises `ConfigError` for an item without `=`, and for a path through another's value.
    """
    tree: dict[str, Any] = {}
    for option in options:
        path, equals, value = option.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"-o {option!r} is not path=value; write for example -o training.lr=1e-4")
        if len(parts) == 1 and parts[0] in _SECTIONS:
            parts.append("name")
        _put(tree, parts, OptionText(value), option)
    return tree


def merge(layers: Sequence[Tree], registries: Registries) -> dict[str, Any]:
    """One tree of all layers; a later one wins. A layer that chooses another plugin drops the options of the former.

    A mapping onto a list changes the items that its keys number: `-o verifier.parts.0.weight=2`.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge_fields(merged, layer, RunConfig, registries)
    return merged


def _put(tree: dict[str, Any], parts: Sequence[str], value: OptionText, option: str) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"-o {option!r} sets a part of {part!r}, which another -o gives a single value")
    if isinstance(tree.get(parts[-1]), dict):
        raise ConfigError(f"-o {option!r} gives a single value to {parts[-1]!r}, of which another -o sets a part")
    tree[parts[-1]] = value


def _merge_fields(base: Tree, value: Tree, model: type[ConfigModel] | None, registries: Registries) -> dict[str, Any]:
    """Two mappings into one. model: whose fields the keys are, where that is known."""
    fields = model.model_fields if model else {}
    merged = dict(base)
    for key, item in value.items():
        merged[key] = _merge_value(base.get(key), item, place_of(fields.get(key)), registries)
    return merged


def _merge_value(base: Any, value: Any, place: Place, registries: Registries) -> Any:
    if isinstance(base, list | tuple) and _numbers(value, len(base)):
        return [_merge_item(index, item, value, place.item or Place(), registries) for index, item in enumerate(base)]
    if place.kind:
        return _merge_choice(as_choice(base), as_choice(value), place.kind, registries)
    if isinstance(base, Mapping) and isinstance(value, Mapping):
        return _merge_fields(base, value, place.section, registries)
    return value


def _merge_item(index: int, item: Any, changes: Tree, place: Place, registries: Registries) -> Any:
    return _merge_value(item, changes[str(index)], place, registries) if str(index) in changes else item


def _numbers(value: Any, count: int) -> bool:
    """Whether all keys of a mapping are positions in a list of that many items."""
    return isinstance(value, Mapping) and bool(value) and set(value) <= set(map(str, range(count)))


def _merge_choice(base: Any, value: Any, kind: str, registries: Registries) -> Any:
    if not isinstance(value, Mapping):
        return value
    base = base if isinstance(base, Mapping) else {}
    before = base.get("name")
    if kind in _IMPLIED and _implies(value, before, registries[kind], *_IMPLIED[kind]):
        value = {**value, "name": _IMPLIED[kind][1]}
    if value.get("name", before) != before:
        return dict(value)
    chosen = {entry.name: entry.config_type for entry in registries[kind]}
    return _merge_fields(base, value, chosen.get(before), registries)


def _implies(value: Tree, before: Any, registry: Registry[Any, Any], option: str, plugin: str) -> bool:
    """Whether a section that sets `option` and names no plugin means `plugin`, and not the one chosen `before`."""
    knows = {entry.name for entry in registry if option in entry.config_type.model_fields}
    return option in value and "name" not in value and before not in knows and plugin in knows
