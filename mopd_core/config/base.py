"""What every config model is: frozen, closed to unknown fields, documented by the docstrings under its fields.

`PluginConfig` is what a plugin's own options derive from; `PluginChoice` is what they become in a run's config, with
the name of the plugin. `OptionText` marks what was typed as `-o path=value`: it stays text until the schema types it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from mopd_core.config.compose import RunConfig


class OptionText(str):
    """Text given with `-o`. A field takes it as text if it can, and else as the YAML value that it spells."""

    __slots__ = ()

    def spelled(self) -> Any:
        """The YAML value that the text spells; the text itself where it is no YAML."""
        try:
            return yaml.safe_load(self)
        except yaml.YAMLError:
            return str(self)


class ConfigModel(BaseModel):
    """Base of every config section."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _type_option_text(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        types = _types_in(cls.model_fields[info.field_name or ""].annotation)
        *others, last = _readings(value, is_free=not types.isdisjoint((dict, Mapping)))
        for reading in others:
            try:
                return handler(reading)
            except ValidationError:
                continue
        if isinstance(last, bool) and bool not in types and not types.isdisjoint((int, float)):
            raise PydanticCustomError("bool_for_number", "a truth value is not a number")
        return handler(last)


def _readings(value: Any, is_free: bool) -> list[Any]:
    """What a value may mean, in the order in which the schema is asked; the last reading's error is the one reported.

    is_free: the value is for a mapping whose keys are not fields, and so have nobody else to type them. What its values
    spell comes first there, since a mapping of mixed values would take any text as it is.
    """
    if isinstance(value, OptionText):
        if value.lower() in ("null", "none"):
            return [None, str(value)]
        spelled = value.spelled()
        return [str(value)] if isinstance(spelled, str) else [str(value), spelled]
    if is_free and isinstance(value, Mapping):
        spelled = {key: item.spelled() if isinstance(item, OptionText) else item for key, item in value.items()}
        return [spelled, {key: str(item) if isinstance(item, OptionText) else item for key, item in value.items()}]
    return [value]


def _types_in(annotation: Any) -> set[Any]:
    """The types that an annotation is made of, at any depth."""
    parts = (part for argument in get_args(annotation) for part in _types_in(argument))
    return {get_origin(annotation) or annotation, *parts} if isinstance(annotation, Hashable) else set()


class PluginConfig(ConfigModel):
    """Base of a plugin's options. The first line of the subclass's docstring is the plugin's line in `mopd plugins`."""

    result_neutral: ClassVar[frozenset[str]] = frozenset()
    """Names of fields that no result depends on; a resumed run may change them."""

    needed_settings: ClassVar[frozenset[str]] = frozenset()
    """Paths of settings elsewhere in a run's config that must not be empty for this plugin to do anything."""

    def min_group_size(self) -> int:
        """The smallest group with which this plugin can do anything; checked before a run starts."""
        return 1

    def min_prompts(self) -> int:
        """The fewest prompts in a step with which this plugin can do anything; checked before a run starts."""
        return 1

    def conflict(self, run: RunConfig) -> str | None:
        """Why this plugin cannot do what the run's other settings ask, and what to change; None where it can."""
        return None


class PluginChoice(PluginConfig):
    """A plugin's options together with the name that chooses it: what a plugin section of a run's config holds."""

    name: str
    """Which plugin."""
