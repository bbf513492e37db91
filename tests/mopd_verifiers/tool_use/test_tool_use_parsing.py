"""1. Every format gives the same calls. 2. What cannot be read is an error with a reason, and never another call.
3. JSON is read from its bracket, once. 4. Nothing else raises, and time is linear.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_verifiers.tool_use.calls import MAX_CALLS, Call, calls_in
from mopd_verifiers.tool_use.responses import calls_of, said
from mopd_verifiers.tool_use.strict_json import MAX_DEPTH, UnreadableError, read_value, read_whole

LIMIT_S = 5.0
"""For two million characters; a quadratic parser would take hours."""

F, G = Call("f", {"x": 1}), Call("g", {"y": {"z": ["}", '{"', "\n"]}})
PRETTY = json.dumps(G.arguments, indent=4)


@pytest.mark.parametrize(
    "response",
    [
        'Action: f\nAction Input: {"x": 1}',
        'Thought: so.\nAction:f\nAction Input:{"x": 1}\nThought: done.',
        'action: `f`\naction_input: `{"x": 1}`',
        '**Action:** f\n**Action Input:** {"x": 1}',
        '- Action 1: "f".\r\n- Action Input 1: {"x": 1}\r\n',
        'Action: f\nAction Input:\n\n```json\n{\n  "x": 1\n}\n```\nThat is all.',
        'Action: f\nBecause I say so.\nAction Input: {"x": 1}, as asked.',
        'Action: f\nAction Input: "{\\"x\\": 1}"',
        'Action: [Optional]f\nAction Input: {"x": 1}',
        'Action: the action to take\nAction Input: the input, must be JSON\n\nAction: f\nAction Input: {"x": 1}',
        'Observation: it is late.\nAction: f\nAction Input: {"x": 1}\nObservation: 7\nAction: g\nAction Input: {}',
        '{"name": "f", "arguments": {"x": 1}}',
        '[{"name": "f", "arguments": "{\\"x\\": 1}"}]',
        '{"type": "function", "function": {"name": "f", "arguments": "{\\"x\\": 1}"}}',
        '{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}',
        'I call one {tool}, see [1]:\n```json\n{"name": "f", "parameters": {"x": 1}}\n```\nThat is all. {}',
        'Action:\n```json\n{"action": "f", "action_input": {"x": 1}}\n```',
        '[{"Action": "f", "Action_Input": "{\\"x\\": 1}"}]',
        '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>',
        'In <tool_call></tool_call> tags: <tool_call>```json\n{"name": "f", "arguments": {"x": 1}}\n```',
    ],
)
def test_one_call_in_every_format(response):
    assert calls_of(response) == [F]


@pytest.mark.parametrize(
    "response",
    [
        f'Action: f\nAction Input: {{"x": 1}}\nThought: next\nAction: g\nAction Input: {PRETTY}\nDone.',
        f'[{{"name": "f", "arguments": {{"x": 1}}}}, {{"name": "g", "arguments": {PRETTY}}}]',
        f'{{"name": "f", "arguments": {{"x": 1}}}}\n{{"name": "g", "arguments": {PRETTY}}}',
        f'<tool_call>{{"name": "f", "arguments": {{"x": 1}}}}</tool_call>\n'
        f'<tool_call>{{"name": "g", "arguments": {PRETTY}}}</tool_call>',
    ],
)
def test_several_calls_with_nested_arguments(response):
    assert calls_of(response) == [F, G]


@pytest.mark.parametrize(
    "response",
    [
        *(
            "",
            "I would call f with x = 1.",
            "Action: none\nAction Input: none",
            "Action: I think about f",
            "[]",
            "{} [ ]",
        ),
        *(
            '{"x": 1}',
            '[{"role": "user"}]',
            "f(x, {y: 1})",
            '{"a": broken',
            '{"name": "f"}',
            '{"name": 1, "arguments": {}}',
        ),
        "Action: the action to take, should be one of the tool names.\nAction Input: the input to the action",
    ],
)
def test_what_is_no_call(response):
    assert calls_of(response) == []


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("Action: f", "the Action `f` has no Action Input"),
        ('Action: f\nAction: g\nAction Input: {"x": 1}', "the Action `f` has no Action Input"),
        ("Action: f\nAction Input: x = 1", "the Action Input of `f` is not a JSON object"),
        ("Action: f\nAction Input: {'x': 1}", "double quotes"),
        ('Action: f\nAction Input: {"x": 1', "broken JSON"),
        ('Action: f\nAction Input: {"x": 1,}', "broken JSON"),
        ('Action: f\nAction Input: {"x": "a\nb"}', "control character"),
        ('Action: f\nAction Input: {"x": 1}}', "goes on after its JSON object"),
        ('Action: f\nAction Input: {"x": 1} {"x": 2}', "goes on after its JSON object"),
        ('Action: f\nAction Input: {"x": 1}\nAction Input: {"x": 2}', "no Action before it"),
        ("Action: f\nAction Input: [1]", "the arguments of `f` are not a JSON object"),
        ('Action: f\nAction Input: {"x": 1, "x": 2}', "twice"),
        ('Action: f\nAction Input: {"x": NaN}', "NaN"),
        ('Action: f\nAction Input: {"x": 1e999}', "too large"),
        (f'Action: f\nAction Input: {{"x": {"9" * 5000}}}', "too large"),
        ('Action: f\nAction Input: "{\\"x\\""', "broken JSON"),
        ("Action: " + "f" * 300 + "\nAction Input: {}", "1 to 200 characters"),
        ('[{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": {y: 1}}]', "broken JSON"),
        ('[{"name": "f", "arguments": {"x": 1}}, {"x": 1}]', "calls and other values"),
        ('{"name": "f", "arguments": "x=1"}', "the arguments of `f` are broken JSON"),
        ('{"name": "f", "arguments": "{} {}"}', "more follows"),
        ('{"name": "f", "arguments": null}', "not a JSON object"),
        ('{"name": " ", "arguments": {}}', "1 to 200 characters"),
        ("{'name': 'f', 'arguments': {}}", "double quotes"),
        ('<tool_call>{"name": "f", "arguments": {}} or {}</tool_call>', "a <tool_call> tag has to hold"),
        ('<tool_call>{"x": 1}</tool_call>', "a <tool_call> tag has to hold"),
        ("<tool_call>f(x=1)</tool_call>", "broken JSON"),
        ("Action: f\nAction Input: {}\n" * (MAX_CALLS + 1), "more than 1,000"),
        ('<tool_call>{"name": "f", "arguments": {}}</tool_call>' * (MAX_CALLS + 1), "more than 1,000"),
        ("[{}]" * (MAX_CALLS + 1), "more than 1,000"),
        ("[" + ",".join(["{}"] * (MAX_CALLS + 1)) + "]", "more than 1,000"),
        ("Action: go on\n" * 10_001, "more than 10,000"),
    ],
    ids=range(32),
)
def test_what_cannot_be_read_says_why(response, reason):
    with pytest.raises(UnreadableError, match=reason) as raised:
        calls_of(response)
    assert len(str(raised.value)) < 500


def test_the_first_format_with_calls_counts():
    tagged = '<tool_call>{"name": "t", "arguments": {}}</tool_call>'
    lines = "Action: r\nAction Input: {}"
    plain = '{"name": "j", "arguments": {}}'
    assert calls_of(f"{plain}\n{lines}\n{tagged}") == [Call("t", {})]
    assert calls_of(f"{plain}\n{lines}") == [Call("r", {})]


def test_only_what_follows_the_thinking_is_said():
    assert said('<think>Action: g</think>\n Action: f\n<think>{"name": "g"') == "Action: f"
    assert said("<think>all of it") == ""


def test_lists_of_calls():
    assert calls_in([]) == []
    assert calls_in({"tool_calls": []}) == []
    assert calls_in({}) is None
    assert calls_in("f") is None


@pytest.mark.parametrize(
    ("levels", "is_read"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (5000, False), (50_000, False)]
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(levels, is_read, opening, closing):
    text = opening * levels + "1" + closing * levels
    if is_read:
        assert read_value(text, 0)[1] == len(text)
    else:
        with pytest.raises(UnreadableError, match="levels deep"):
            read_value(text, 0)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
ARGUMENTS = st.dictionaries(st.text(), JSON_VALUES, max_size=4)
NAMES = st.text("abcXYZ_.09", min_size=1, max_size=9).filter(lambda name: name.strip(".") == name)
CALLS = st.lists(st.builds(Call, NAMES, ARGUMENTS), min_size=1, max_size=4)
STYLES = st.sampled_from([{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])


@settings(deadline=None)
@given(JSON_VALUES, STYLES, st.text(), st.text(" \n!,:", max_size=5))
def test_a_value_is_read_from_the_middle_of_a_text(value, style, before, after):
    text = json.dumps(value, **style)
    assert read_value(f"{before}{text}{after}", len(before)) == (value, len(before) + len(text))
    assert read_whole(f"\n {text} ") == value


@settings(deadline=None)
@given(CALLS, STYLES, st.booleans())
def test_calls_survive_every_format(calls, style, as_text):
    def arguments(call):
        return json.dumps(call.arguments) if as_text else call.arguments

    openai = [{"name": call.name, "arguments": arguments(call)} for call in calls]
    lines = "\n".join(f"Action: {name}\nAction Input: {json.dumps(inputs, **style)}" for name, inputs in calls)
    assert calls_of(lines) == calls
    assert calls_of(json.dumps(openai, **style)) == calls
    assert calls_of("\n".join(f"<tool_call>{json.dumps(call, **style)}</tool_call>" for call in openai)) == calls


FRAGMENTS = [
    *(
        "Action:",
        "Action Input:",
        "Observation:",
        "\n",
        " ",
        "f",
        "the tool",
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        ",",
        ":",
        "'",
    ),
    *(
        "{}",
        '{"x": 1}',
        '"name"',
        '"arguments"',
        '{"name": "f", "arguments": ',
        "<tool_call>",
        "</tool_call>",
        "```json",
    ),
    *("</think>", "<think>", "1e999", "NaN", "-", "\ud800", "**", "none"),
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3)).map("".join))
def test_any_text_is_read_or_unreadable(text):
    with suppress(UnreadableError):
        assert all(isinstance(call, Call) for call in calls_of(said(text)))


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "{",
            "[",
            "[ ",
            '{"a":',
            "[{",
            '{"name":',
            "{'",
            '{"\\',
            "{}",
            '[{"a":1}]',
            '"',
            "`",
            "> ",
            " ",
            "\n",
            "x",
            "*",
        ),
        *("Action: f\n", "Action: f\nAction Input: {}\n", "Action Input: {", "Action: a b\n", "Observation: \n"),
        *(
            "Action Input: ```json ",
            "<tool_call>",
            "<tool_call></tool_call>",
            "<tool_call>  ",
            " " * 60 + "\n",
            "9",
            "1,",
        ),
    ],
)
def test_time_is_linear(unit):
    text = unit * (2_000_000 // len(unit))
    for response in (text, f"Action: f\nAction Input: {text}", f'{{"name": "f", "arguments": {{"x": [{text}'):
        start = time.process_time()
        with suppress(UnreadableError):
            calls_of(said(response))
        assert time.process_time() - start < LIMIT_S


def test_a_call_behind_ten_megabytes_is_found():
    assert calls_of("so it goes {on} and [on]. " * 400_000 + '\nAction: f\nAction Input: {"x": 1}') == [F]
