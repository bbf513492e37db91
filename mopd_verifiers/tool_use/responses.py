"""Which calls a response makes: those of the first format that it has any in."""

from __future__ import annotations

from mopd_verifiers.thinking import without_thinking
from mopd_verifiers.tool_use.calls import Call
from mopd_verifiers.tool_use.json_calls import json_calls, tagged_calls
from mopd_verifiers.tool_use.react import react_calls

_FORMATS = (tagged_calls, react_calls, json_calls)


def said(response: str) -> str:
    """The response without its thinking and the white space around it."""
    return without_thinking(response).strip()


def calls_of(text: str) -> list[Call]:
    """The calls of what was said. Raises `UnreadableError` for a call that cannot be read."""
    return next((calls for read in _FORMATS if (calls := read(text))), [])
