"""Calls written as JSON: in `<tool_call>` tags, or as lists and objects anywhere in the text, fenced or not.

Every value is read once, from its first bracket; the search goes on behind it, so that time is linear.
"""

from __future__ import annotations

import re

from mopd_verifiers.tool_use.calls import Call, calls_in, check_count
from mopd_verifiers.tool_use.strict_json import UnreadableError, read_value

_OPENING = re.compile(r"<tool_call>(?!\s*+</tool_call>)\s*+(?:```(?:json)?\s*+)?")
_CLOSING = re.compile(r"\s*+(?:```\s*+)?(?:</tool_call>|\Z)")
_VALUE = re.compile(r"\[\s*+[{\]]|\{\s*+[\"'}]")
_CALL_KEY = re.compile(r"[\"'](?:name|action|function|tool_calls)[\"']\s{0,9}:", re.IGNORECASE)


def tagged_calls(text: str) -> list[Call]:
    """The calls in all `<tool_call>` tags; the last may be left open, as a stop string does.

    Raises `UnreadableError` where a tag holds anything but one JSON value that means calls.
    """
    calls: list[Call] = []
    position = 0
    while opening := _OPENING.search(text, position):
        value, end = read_value(text, opening.end())
        closing, inside = _CLOSING.match(text, end), calls_in(value)
        if closing is None or not inside:
            raise UnreadableError("a <tool_call> tag has to hold one JSON object with `name` and `arguments`")
        calls += inside
        position = closing.end()
        check_count(len(calls))
    return calls


def json_calls(text: str) -> list[Call]:
    """The calls in all JSON lists and objects of the text; values that mean no calls are passed over.

    Raises `UnreadableError` for broken JSON with a key of a call in it or after it.
    """
    calls: list[Call] = []
    position = values = 0
    while start := _VALUE.search(text, position):
        try:
            value, position = read_value(text, start.start())
        except UnreadableError:
            if _CALL_KEY.search(text, start.start()):
                raise
            break
        calls += calls_in(value) or []
        values += 1
        check_count(max(values, len(calls)))
    return calls
