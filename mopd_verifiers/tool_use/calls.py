"""What a tool call is, and the JSON shapes that mean one. A new shape is a pair of keys in `_SHAPES`."""

from __future__ import annotations

from typing import NamedTuple

from mopd_core.types import Json
from mopd_verifiers.tool_use.strict_json import UnreadableError, read_whole

MAX_CALLS = 1000
"""In a response or a reference."""
MAX_NAME_CHARS = 200
"""Of a tool."""

_SHAPES = (
    ("name", "arguments"),
    ("name", "parameters"),
    ("Action", "Action_Input"),
    ("action", "action_input"),
    ("Action", "Action Input"),
)
_OPTIONAL_MARK = "[Optional]"
_MAX_SHOWN_CHARS = 80


class Call(NamedTuple):
    """A tool's name and its arguments."""

    name: str
    arguments: dict[str, Json]


def calls_in(value: Json) -> list[Call] | None:
    """The calls that a JSON value means: a call, a list of them, or an object with `tool_calls`; else None.

    Raises `UnreadableError` for a list of calls and other things, and for a call whose arguments are no JSON object.
    """
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    if isinstance(value, dict):
        call = _call(value)
        return None if call is None else [call]
    if not isinstance(value, list):
        return None
    check_count(len(value))
    calls = [_call(item) for item in value]
    found = [call for call in calls if call is not None]
    if found and len(found) != len(calls):
        raise UnreadableError("a list holds calls and other values")
    return found if found or not value else None


def make_call(name: str, arguments: Json) -> Call:
    """A call from its name and its arguments, which may be the JSON text of an object."""
    name = name.strip().removeprefix(_OPTIONAL_MARK).strip()
    if not name or len(name) > MAX_NAME_CHARS:
        raise UnreadableError(f"the name of a tool has to have 1 to {MAX_NAME_CHARS} characters")
    if isinstance(arguments, str):
        arguments = _decoded(name, arguments)
    if not isinstance(arguments, dict):
        raise UnreadableError(f"the arguments of {shown(name)} are not a JSON object")
    return Call(name, arguments)


def check_count(calls: int) -> None:
    """Raises `UnreadableError` for more than `MAX_CALLS`."""
    if calls > MAX_CALLS:
        raise UnreadableError(f"there are more than {MAX_CALLS:,} calls")


def shown(name: str) -> str:
    """A tool's or an argument's name for feedback: one line, bounded, fit for a file."""
    line = " ".join(name[: _MAX_SHOWN_CHARS + 1].split()).encode("utf-8", "replace").decode()
    return f"`{line if len(name) <= _MAX_SHOWN_CHARS else line[:_MAX_SHOWN_CHARS] + '...'}`"


def _call(value: Json) -> Call | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = value["function"]
    for name_key, arguments_key in _SHAPES:
        if isinstance(value.get(name_key), str) and arguments_key in value:
            return make_call(value[name_key], value[arguments_key])
    return None


def _decoded(name: str, arguments: str) -> Json:
    try:
        return read_whole(arguments)
    except UnreadableError as error:
        raise UnreadableError(f"the arguments of {shown(name)} are {error}") from error
