"""Calls written as lines: `Action: NAME`, then `Action Input: {...}`, as often as needed, with anything in between.

The JSON of an input is read from its brace and may span lines; no label is looked for inside it. Lines that a response
repeats from its instructions, such as `Action: the action to take`, name no tool and come without JSON: they are none.
"""

from __future__ import annotations

import re

from mopd_verifiers.tool_use.calls import MAX_NAME_CHARS, Call, check_count, make_call, shown
from mopd_verifiers.tool_use.strict_json import UnreadableError, read_value

_LABEL = re.compile(
    r"^[ \t>*_#\-]{0,40}+(?:(?P<input>Action[ _]?Input)|(?P<action>Action)|(?P<observation>Observation))"
    r"[ \t]{0,3}\d{0,3}[*_ \t]{0,5}[:：][*_]{0,4}",
    re.IGNORECASE | re.MULTILINE,
)
_MAX_LABELS = 10_000
_MAX_LINE_CHARS = MAX_NAME_CHARS + 20
_BEFORE_JSON = re.compile(r"\s*+(?:`{1,3}(?:json)?\s*+)?", re.IGNORECASE)
_MORE_JSON = re.compile(r"[ \t]*+`{0,3}[ \t]*+[{}\]\"]")
_NO_TOOL = frozenset({"", "none", "n/a"})


def react_calls(text: str) -> list[Call]:
    """The calls up to an observation that follows one: what comes after it answers to results that nobody gave.

    Raises `UnreadableError` for a tool without input, and for an input that is no JSON object or has no tool.
    """
    calls: list[Call] = []
    position, name, labels = 0, "", 0
    while label := _LABEL.search(text, position):
        position, labels = label.end(), labels + 1
        if label["observation"]:
            if calls:
                break
        elif label["action"]:
            _check_has_input(name)
            name = text[position : position + _MAX_LINE_CHARS].partition("\n")[0].strip(" \t\r*`\"'.")
        else:
            call, position = _input(text, position, name)
            calls += [call] if call else []
            name = ""
        check_count(len(calls))
        if labels > _MAX_LABELS:
            raise UnreadableError(f"there are more than {_MAX_LABELS:,} Action lines")
    _check_has_input(name)
    return calls


def _input(text: str, position: int, name: str) -> tuple[Call | None, int]:
    """The call of tool `name` whose input begins at `position`, None for no call, and where its JSON ends."""
    start = _start_of_json(text, position)
    if text[start : start + 1] not in ("{", "[", '"'):
        if _is_tool(name):
            raise UnreadableError(f"the Action Input of {shown(name)} is not a JSON object")
        return None, position
    if not name:
        raise UnreadableError("an Action Input has no Action before it")
    try:
        value, end = read_value(text, start)
    except UnreadableError as error:
        raise UnreadableError(f"the Action Input of {shown(name)} is {error}") from error
    if _MORE_JSON.match(text, end):
        raise UnreadableError(f"the Action Input of {shown(name)} goes on after its JSON object")
    return make_call(name, value), end


def _start_of_json(text: str, position: int) -> int:
    before = _BEFORE_JSON.match(text, position)
    return before.end() if before else position


def _is_tool(name: str) -> bool:
    """A name of several words is prose, unless JSON follows."""
    return name.lower() not in _NO_TOOL and not any(map(str.isspace, name))


def _check_has_input(name: str) -> None:
    if _is_tool(name):
        raise UnreadableError(f"the Action {shown(name)} has no Action Input")
