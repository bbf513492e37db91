"""Every row of the tool-use set: the gold passes in every format, and fails once anything in it is changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mopd_core.types import VerifyItem
from mopd_verifiers.tool_use.config import ToolUseConfig
from mopd_verifiers.tool_use.verifier import ToolUseVerifier

DATA = Path(os.environ.get("MOPD_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
ROWS = 68


def rows():
    path = DATA / "tooluse" / "test.json"
    if not path.exists():
        pytest.skip(f"{path} is absent: set MOPD_DATA to the folder with the public data sets")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def golds():
    """Each row's answer column, and its calls as pairs of a name and arguments."""
    for row in rows():
        calls = [(call["Action"], json.loads(call["Action_Input"])) for call in json.loads(row["answer"])]
        yield row["answer"], calls


def react(calls, **style):
    turns = (f"Thought: so be it.\nAction: {name}\nAction Input: {json.dumps(given, **style)}" for name, given in calls)
    return "\n".join(turns)


def react_fenced(calls):
    return "\n\n".join(
        f"**Action:** {name}\n**Action Input:**\n```json\n{json.dumps(a, indent=2)}\n```" for name, a in calls
    )


def openai(calls):
    inner = [{"name": name, "arguments": json.dumps(given)} for name, given in calls]
    return [{"id": str(i), "type": "function", "function": call} for i, call in enumerate(inner)]


def plain(calls):
    return [{"name": name, "arguments": given} for name, given in calls]


FORMS = {
    "react": react,
    "react pretty": lambda calls: react(calls, indent=4, sort_keys=True),
    "react fenced": react_fenced,
    "json": lambda calls: json.dumps(plain(calls)),
    "json fenced": lambda calls: f"These calls:\n```json\n{json.dumps(plain(calls), indent=2)}\n```\nThat is all.",
    "json lines": lambda calls: "\n".join(map(json.dumps, plain(calls))),
    "openai": lambda calls: json.dumps(openai(calls)),
    "openai message": lambda calls: json.dumps({"role": "assistant", "content": None, "tool_calls": openai(calls)}),
    "tags": lambda calls: "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in plain(calls)),
    "the data's own": lambda calls: json.dumps([{"Action": n, "Action_Input": json.dumps(a)} for n, a in calls]),
}


def reordered(value):
    """The same value with the keys of its objects in reverse."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


def changed(value):
    """Every value that differs from this one in a single leaf, or in one key or item."""
    if isinstance(value, dict):
        yield {**value, "one_more": 1}
        for key in value:
            yield {name: inner for name, inner in value.items() if name != key}
            yield from ({**value, key: other} for other in changed(value[key]))
    elif isinstance(value, list):
        yield [*value, value[-1]]
        yield value[:-1]
        for index in range(len(value)):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in changed(value[index]))
    else:
        yield from (None, [value], f"{value}.", {"0": value})
        yield str(value) if isinstance(value, int | float) else 7


def perturbed(calls):
    for index, (name, given) in enumerate(calls):
        before, after = calls[:index], calls[index + 1 :]
        yield [*before, *after]
        yield [*before, calls[index], calls[index], *after]
        yield [*before, (name + "s", given), *after]
        yield [*before, ("anotherTool", {}), calls[index], *after]
        yield from ([*before, (name, other), *after] for other in changed(given))


def statuses(responses, **options):
    verifier = ToolUseVerifier(ToolUseConfig(**options))
    return {verdict.status for verdict in verifier.verify([VerifyItem(text, gold) for text, gold in responses])}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ["any", "exact"])
def test_gold_passes(form, order):
    found = [(FORMS[form](calls), gold) for gold, calls in golds()]
    assert len(found) == ROWS
    assert statuses(found, order=order) == {"passed"}
    assert statuses([(text, json.loads(gold)) for text, gold in found], order=order) == {"passed"}
    backwards = [(FORMS[form]([(name, reordered(given)) for name, given in calls]), gold) for gold, calls in golds()]
    assert statuses(backwards, order=order) == {"passed"}


@pytest.mark.parametrize("form", FORMS)
def test_anything_changed_fails(form):
    wrong = [(FORMS[form](other), gold) for gold, calls in golds() for other in perturbed(calls)]
    assert len(wrong) > 20 * ROWS
    assert statuses(wrong) == {"failed"}
    assert statuses(wrong, order="exact") == {"failed"}


@pytest.mark.parametrize("form", FORMS)
def test_order_matters_where_it_is_asked_for(form):
    swapped = [(FORMS[form](calls[::-1]), gold) for gold, calls in golds() if len(calls) > 1]
    assert len(swapped) == 19
    assert statuses(swapped) == {"passed"}
    assert statuses(swapped, order="exact") == {"failed"}


def test_the_instructions_are_no_call():
    repeated = [(row["prompt"], row["answer"]) for row in rows()]
    answered = [
        (f"{row['prompt']}\n{react(calls)}", row["answer"]) for row, (_, calls) in zip(rows(), golds(), strict=True)
    ]
    assert statuses(repeated) == {"failed"}
    assert statuses(answered) == {"passed"}
