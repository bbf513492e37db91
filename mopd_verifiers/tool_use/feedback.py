"""What is wrong with a response's calls, in words: tools and arguments are named, the gold's values never are.

Inside of an argument only keys that the response has itself are named, since the gold's are part of its value.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import islice

from mopd_core.types import Json
from mopd_verifiers.tool_use.calls import Call, shown
from mopd_verifiers.tool_use.compare import Comparison, canonical, kind_of

NO_CALL = (
    "No tool call was found. A call is a line `Action: NAME` and a line `Action Input: {...}` with its arguments as "
    'JSON, or a JSON object such as {"name": ..., "arguments": {...}}.'
)
NOTHING_SAID = "The response says nothing."
WRONG_ORDER = "The calls are right, but not their order."

_MAX_CHARS = 3000
_MAX_DIFFERENCES = 5


def unreadable(problem: str) -> str:
    """For a call that cannot be read."""
    return f"The tool calls cannot be read: {problem}."


def describe(comparison: Comparison) -> str:
    """One sentence a call that is wrong, missing or extra, as many as fit."""
    if not comparison.missing and not comparison.extra:
        return WRONG_ORDER
    lines: list[str] = []
    length = 0
    sentences = Counter(_sentences(comparison.missing, comparison.extra))
    for sentence, times in sentences.items():
        if length > _MAX_CHARS:
            return "\n".join([*lines, f"And {len(sentences) - len(lines)} more."])
        lines.append(sentence if times == 1 else f"{sentence} ({times} times)")
        length += len(sentence)
    return "\n".join(lines)


def _sentences(missing: Sequence[Call], extra: Sequence[Call]) -> Iterator[str]:
    """A missing and an extra call of the same tool are one call with wrong arguments."""
    unmatched: defaultdict[str, deque[Call]] = defaultdict(deque)
    for call in extra:
        unmatched[call.name].append(call)
    for call in missing:
        if unmatched[call.name]:
            differences = _differences(call.arguments, unmatched[call.name].popleft().arguments)
            yield f"The call of {shown(call.name)} is wrong: {', '.join(islice(differences, _MAX_DIFFERENCES))}."
        else:
            yield f"A call of {shown(call.name)} is missing."
    for calls in unmatched.values():
        yield from (f"The call of {shown(call.name)} is not expected." for call in calls)


def _differences(gold: dict[str, Json], given: dict[str, Json]) -> Iterator[str]:
    yield from (f"{shown(key)} is missing" for key in gold if key not in given)
    yield from (f"{shown(key)} is not expected" for key in given if key not in gold)
    for key in filter(gold.__contains__, given):
        yield from _inside(key, gold[key], given[key])


def _inside(path: str, gold: Json, given: Json) -> Iterator[str]:
    """How two values differ; nothing where they are equal."""
    if canonical(gold) == canonical(given):
        return
    if kind_of(gold) != kind_of(given):
        yield f"{shown(path)} has the wrong type, {kind_of(given)}"
    elif isinstance(gold, dict):
        if gold.keys() - given.keys():
            yield f"{shown(path)} is incomplete"
        yield from (f"{shown(f'{path}.{key}')} is not expected" for key in given if key not in gold)
        for key in filter(gold.__contains__, given):
            yield from _inside(f"{path}.{key}", gold[key], given[key])
    elif isinstance(gold, list) and len(gold) == len(given):
        for index, (inner, found) in enumerate(zip(gold, given, strict=True)):
            yield from _inside(f"{path}[{index}]", inner, found)
    elif isinstance(gold, list):
        yield f"{shown(path)} has the wrong number of items"
    else:
        yield f"{shown(path)} has the wrong value"
