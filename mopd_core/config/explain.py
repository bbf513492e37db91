"""What is wrong with a config, in one line a mistake: where, what was given, what is allowed, what was probably meant.

`explain` turns a validation error into a `ConfigError`. A mistake that deserves better words is a case in `_line`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mopd_core.config.base import ConfigModel, OptionText
from mopd_core.config.compose import PLUGIN_LISTS, PLUGIN_SECTIONS
from mopd_core.config.describe import Schema, child, in_words, keys
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries, did_you_mean

Path = tuple[str | int, ...]

MOST_LINES = 5
_KINDS: dict[Path, str] = {(section.field,): section.kind for section in PLUGIN_SECTIONS}
_LIST_KINDS: dict[Path, str] = {place.path: place.kind for place in PLUGIN_LISTS}


def explain(
    error: ValidationError, tree: Mapping[str, Any], composed: type[ConfigModel], registries: Registries
) -> ConfigError:
    """The `ConfigError` for a merged tree that did not validate: a line for each of the first `MOST_LINES` mistakes."""
    root = composed.model_json_schema()
    lines: dict[Path, str] = {}
    for details in error.errors(include_url=False):
        path = _path(details["loc"], tree, registries)
        if details["type"] == "missing" and isinstance(path[-1], int):
            path = path[:-1]  # What is wrong is the list, which is too short.
        lines.setdefault(path, _line(path, details, tree, root, registries))
    shown = list(lines.values())[:MOST_LINES]
    if len(lines) > MOST_LINES:
        shown.append(f"and {len(lines) - MOST_LINES} more")
    return ConfigError("\n".join(shown))


def kind_at(path: Path) -> str | None:
    """The kind of plugin that is chosen at a path, if any is."""
    return _KINDS.get(path) or (_LIST_KINDS.get(path[:-1]) if path and isinstance(path[-1], int) else None)


def _path(loc: Path, tree: Mapping[str, Any], registries: Registries) -> Path:
    """Where in the tree an error is: pydantic's location without the labels of unions."""
    path: Path = ()
    node: Any = tree
    labelled = False
    for part in loc:
        kind = kind_at(path)
        if kind and not labelled and isinstance(node, Mapping) and len(registries[kind].names()) > 1:
            labelled = True
            continue
        node = _spelled(node)
        if not isinstance(node, Mapping if isinstance(part, str) else list | tuple):
            break
        path, labelled = (*path, part), False
        node = _at(node, part)
    return path


def _spelled(node: Any) -> Any:
    return node.spelled() if isinstance(node, OptionText) else node


def _at(node: Any, part: str | int) -> Any:
    node = _spelled(node)
    if isinstance(node, Mapping):
        return node.get(part)
    return node[part] if isinstance(part, int) and part < len(node) else None


def _look_up(path: Path, tree: Mapping[str, Any], root: Schema) -> tuple[Any, Schema | None]:
    """What was given at a path, and the schema of what is allowed there."""
    node: Any = tree
    schema: Schema | None = root
    for part in path:
        name = _at(node, "name") if isinstance(_spelled(node), Mapping) else None
        schema = child(root, schema, part, name) if schema is not None else None
        node = _at(node, part)
    return node, schema


def _line(path: Path, details: ErrorDetails, tree: Mapping[str, Any], root: Schema, registries: Registries) -> str:
    where = ".".join(map(str, path))
    given, schema = _look_up(path, tree, root)
    kind = kind_at(path)
    if details["type"] == "extra_forbidden":
        return _unknown_key(path, tree, root, registries)
    if kind and isinstance(given, Mapping) and "name" not in given:
        return f"{where} needs a name: one of {_names(kind, registries)}"
    if details["type"] == "missing" and given is None:
        return _missing(where, schema, kind, registries)
    if details["type"] == "value_error":
        return f"{where}{_is(given)}: {details['ctx']['error']}"
    if kind:
        return f"{where}{_is(given)}; allowed: a name ({_names(kind, registries)}), or a mapping with name and options"
    if schema is None:
        return f"{where}{_is(given)}: {details['msg']}"
    words = in_words(root, schema)
    quotes = " (in quotes)" if "text" in words and isinstance(given, int | float) else ""
    return f"{where}{_is(given)}; allowed: {words}{quotes}"


def _missing(where: str, schema: Schema | None, kind: str | None, registries: Registries) -> str:
    if kind and not registries[kind].names():
        return f"{where} is required, and no {kind[:-1]} is installed"
    if kind:
        return f"{where} is required; choose one of {_names(kind, registries)}, for example -o {where}=NAME"
    words = (schema or {}).get("description", "")
    return f"{where} is required. {words}".strip()


def _unknown_key(path: Path, tree: Mapping[str, Any], root: Schema, registries: Registries) -> str:
    *parents, key = path
    section, schema = _look_up(tuple(parents), tree, root)
    kind = kind_at(tuple(parents))
    chosen = section.get("name") if kind else None
    where = ".".join(map(str, path))
    others = [entry.name for entry in registries[kind] if key in entry.config_type.model_fields] if kind else []
    if kind and others:
        owners = " and ".join(map(repr, others))
        return f"{where} is an option of {kind[:-1]} {owners}, not of the chosen {chosen!r}"
    known = [name for name in keys(root, schema or {}, chosen) if not (kind and name == "name")]
    owner = f"{kind[:-1]} {chosen!r}" if kind else f"section {'.'.join(map(str, parents))!r}" if parents else "a config"
    listed = ", ".join(known) or "none"
    return (
        f"{where} is not an option of {owner}.{did_you_mean(str(key), known) or _elsewhere(key, root)} Known: {listed}"
    )


def _elsewhere(key: str | int, root: Schema) -> str:
    """A hint at the section that has this key, if one does."""
    for name, section in root["properties"].items():
        if key in keys(root, section):
            return f" Did you mean '{name}.{key}'?"
    return ""


def _names(kind: str, registries: Registries) -> str:
    return ", ".join(registries[kind].names()) or "none is installed"


def _is(given: Any) -> str:
    given = _spelled(given)
    if given is None or isinstance(given, bool):
        return f" is {json.dumps(given)}"
    if isinstance(given, Mapping):
        return ""
    text = repr(str(given)) if isinstance(given, str) else repr(given)
    return f" is {text if len(text) <= 80 else text[:77] + '...'}"
