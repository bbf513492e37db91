"""What a config accepts, in words: read from its JSON schema, for error messages, listings and the reference.

Nothing here knows a section or a plugin. A kind of value that reads badly is a case in `_one_in_words`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel

Schema: TypeAlias = Mapping[str, Any]

_TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "true/false", "null": "null"}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


@dataclass(frozen=True, slots=True)
class Option:
    """One leaf of a config: its dotted path, what it accepts in words, its default, and its docstring."""

    path: str
    accepts: str
    required: bool
    default: Any
    help: str


def options_of(model: type[BaseModel]) -> list[Option]:
    """Every option of a config model in the order of its fields, those of nested sections under dotted paths.

    A list of sections is followed by the options of its items, under `list.N`.
    A plugin's `name` is how it is chosen and not among its options.
    """
    root = model.model_json_schema()
    return list(_options(root, resolve(root, root), "", {}))


def resolve(root: Schema, schema: Schema) -> Schema:
    """The schema that a reference stands for, the reference's own description and default kept."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def variants(root: Schema, schema: Schema) -> list[Schema]:
    """The alternatives of a schema, resolved; the schema itself where it has none."""
    schema = resolve(root, schema)
    parts = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [variant for part in parts for variant in variants(root, part)] if parts else [schema]


def in_words(root: Schema, schema: Schema) -> str:
    """What a schema accepts: `integer >= 1`, `one of off, warn, stop`, `list of text`."""
    names = [name for variant in variants(root, schema) for name in _values(variant)]
    others = [_one_in_words(root, variant) for variant in variants(root, schema) if not _values(variant)]
    listed = [f"one of {', '.join(names)}"] if len(names) > 1 else names
    return " or ".join(dict.fromkeys([*listed, *others]))


def child(root: Schema, schema: Schema, part: str | int, name: object = None) -> Schema | None:
    """The schema of one key or index; `name` says which plugin's options are meant where there are several."""
    for variant in variants(root, schema):
        properties = variant.get("properties", {})
        if name is not None and properties.get("name", {}).get("const", name) != name:
            continue
        if part in properties:
            return resolve(root, properties[part])
        inner = _of_index(variant, part) if isinstance(part, int) else variant.get("additionalProperties")
        if isinstance(inner, Mapping):
            return resolve(root, inner)
    return None


def keys(root: Schema, schema: Schema, name: object = None) -> list[str]:
    """The known keys of a section; of the plugin `name` where there are several."""
    for variant in variants(root, schema):
        properties = variant.get("properties", {})
        if properties and (name is None or properties.get("name", {}).get("const", name) == name):
            return list(properties)
    return []


def _options(root: Schema, schema: Schema, prefix: str, defaults: Mapping[str, Any]) -> Iterator[Option]:
    for name, given in schema["properties"].items():
        field, required = resolve(root, given), name in schema.get("required", ())
        if name == "name" and "const" in field:
            continue
        default = defaults.get(name, field.get("default"))
        if "properties" in field:
            yield from _options(root, field, f"{prefix}{name}.", default or {})
        else:
            yield Option(prefix + name, in_words(root, field), required, default, field.get("description", ""))
            item = resolve(root, field.get("items", {}))
            if "properties" in item:
                yield from _options(root, item, f"{prefix}{name}.N.", {})


def _of_index(schema: Schema, index: int) -> Any:
    prefix = schema.get("prefixItems", ())
    return prefix[index] if index < len(prefix) else schema.get("items")


def _values(schema: Schema) -> list[str]:
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [str(value) for value in values]


def _one_in_words(root: Schema, schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        return _list_in_words(root, schema)
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"mapping of {in_words(root, schema['additionalProperties'])}"
    if kind == "object":
        return "mapping of options"
    if schema.get("format") in ("path", "file-path", "directory-path"):
        return "path"
    bounds = " and ".join(f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{_TYPES.get(str(kind), 'value')} {bounds}".strip()


def _list_in_words(root: Schema, schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {', '.join(in_words(root, x) for x in schema['prefixItems'])}"
    words = f"list of {in_words(root, schema['items'])}" if schema.get("items") else "list"
    return f"{words}, at least {schema['minItems']}" if "minItems" in schema else words
