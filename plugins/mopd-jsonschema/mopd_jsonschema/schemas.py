"""From a prompt's reference to a validator that is safe to run on text that a model wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry

_extend: Callable[..., Callable[..., Validator]] = extend


class BadSchemaError(ValueError):
    """The reference is no JSON Schema; the message says why."""


def validator_of(reference: Any) -> Validator:
    """A validator for a schema given as an object. Raises `BadSchemaError`."""
    if not isinstance(reference, dict):
        raise BadSchemaError(f"it is a {type(reference).__name__}, not an object")
    return _validator(json.dumps(reference))


@lru_cache(maxsize=1024)
def _validator(text: str) -> Validator:
    schema = json.loads(text)
    try:
        draft = validator_for(schema, default=Draft202012Validator)
        draft.check_schema(schema)
    except (SchemaError, TypeError) as error:
        raise BadSchemaError(getattr(error, "message", str(error))) from error
    # A registry of its own keeps jsonschema from fetching remote references.
    return _extend(draft, {"uniqueItems": _unique_items})(schema, registry=Registry())


def _unique_items(validator: Validator, unique: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """`uniqueItems` in linear time; the library's own compares all pairs where items cannot be sorted."""
    if unique and isinstance(instance, list) and len({_canonical(item) for item in instance}) < len(instance):
        yield ValidationError("the items are not unique")


def _canonical(value: Any) -> str:
    return json.dumps(_whole_floats_as_ints(value), sort_keys=True)


def _whole_floats_as_ints(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_floats_as_ints(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_floats_as_ints(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
