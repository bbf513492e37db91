"""The options of the verifier `tool-use`."""

from __future__ import annotations

from typing import Literal

from mopd_core.config.base import PluginConfig


class ToolUseConfig(PluginConfig):
    """Tool calls, as `Action:` and `Action Input:` lines or as JSON, against the gold calls, by value.

    A prompt's reference is a list of calls, or its JSON text: `{"name": "f", "arguments": {"x": 1}}`, alone or below
    `function`, or `{"Action": "f", "Action_Input": {"x": 1}}`; arguments may be JSON text too. No call at all, `[]`,
    is right for a response that says something and calls nothing. Of a response, the calls in the first of these
    formats count: `<tool_call>` tags, Action lines up to an `Observation:` that follows a call, JSON values. A call
    that cannot be read fails the response; so do a key that occurs twice in a JSON object, and NaN. Numbers are equal
    by value (1 is 1.0), texts character by character, a text is never a number, and only lists have an order. The mark
    `[Optional]` before a tool's name is left out. Thinking is not looked at.
    """

    order: Literal["any", "exact"] = "any"
    """`any`: the calls may come in any order, each as often as in the gold; `exact`: in the gold's order."""

    reward: Literal["sparse", "fraction"] = "sparse"
    """What a wrong response gets: nothing, or the share of right calls among the gold's or its own, if it has more.

    With `order: exact`, a call is right at its own place. A response with a call that cannot be read gets nothing.
    """
