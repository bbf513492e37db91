"""Where a config lets one choose a plugin, and which plugins a config has chosen.

Such a place is marked with `ChoiceOf`, in `RunConfig` and in a plugin's own options alike, at any depth and in lists:

    class CachedConfig(PluginConfig):
        verifier: Annotated[PluginChoice, ChoiceOf("verifiers")]

Once plugins are registered, `choice_types` puts the options of whatever is installed in the place of the mark. A
default is given as a value there (`= PluginChoice(name="math")`), not by a factory. What was chosen is built with
`context.registries["verifiers"].build(config.verifier, context)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from mopd_core.config.base import ConfigModel, PluginChoice

KIND_KEYWORD = "x-plugin-kind"
"""What the JSON schema calls the kind of plugin that is chosen in a place."""


@dataclass(frozen=True, slots=True)
class ChoiceOf:
    """Marks a `PluginChoice` as one of the installed plugins of a kind, such as `verifiers`."""

    kind: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), KIND_KEYWORD: self.kind}


@dataclass(frozen=True, slots=True)
class Place:
    """What a field is: the choice of a plugin of a kind, a section of its own, a list of such, or none of these.

    item: what each item of a list is.
    """

    kind: str | None = None
    section: type[ConfigModel] | None = None
    item: Place | None = None


def place_of(field: FieldInfo | None) -> Place:
    """What a field of a config holds; nothing that is known where there is no such field."""
    return _place(field.annotation, field.metadata) if field else Place()


def as_choice(value: object) -> object:
    """The mapping that a bare name stands for; a mapping with its name as plain text; anything else as it is."""
    if isinstance(value, str):
        return {"name": str(value)}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return {**value, "name": str(value["name"])}
    return value


def choices_in(value: object, path: str = "") -> Iterator[tuple[str, PluginChoice]]:
    """Every plugin that a validated config has chosen, also within another's options, with its dotted path."""
    if isinstance(value, PluginChoice):
        yield path, value
    if isinstance(value, ConfigModel):
        items: Iterator[tuple[object, object]] = iter(value)
    elif isinstance(value, list | tuple):
        items = iter(enumerate(value))
    else:
        return
    for key, item in items:
        yield from choices_in(item, f"{path}.{key}" if path else str(key))


def _place(annotation: Any, marks: Sequence[Any] = ()) -> Place:
    for mark in marks:
        if isinstance(mark, ChoiceOf):
            return Place(kind=mark.kind)
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        return Place(section=annotation)
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return _place(inner, marks)
    places = (_place(argument) for argument in get_args(annotation))
    inside = next((place for place in places if place != Place()), Place())
    return Place(item=inside) if get_origin(annotation) in (list, tuple) else inside
