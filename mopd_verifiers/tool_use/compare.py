"""Matches the calls of a response with the gold's, by value.

Numbers are equal by value and never equal to a truth value or a text; objects have no order, lists do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

from mopd_core.types import Json
from mopd_verifiers.tool_use.calls import Call

Kind = Literal["null", "truth value", "number", "text", "list", "object"]


class Comparison(NamedTuple):
    """right: how many calls are right, in place if the order counts. missing, extra: calls without a counterpart.

    score: the share of right calls, 1 only where all are right and none is extra.
    """

    right: int
    missing: list[Call]
    extra: list[Call]
    score: float


def compare(gold: Sequence[Call], given: Sequence[Call], *, in_order: bool) -> Comparison:
    """Match two lists of calls, each call as often as it occurs."""
    gold_keys, given_keys = [_key(call) for call in gold], [_key(call) for call in given]
    shared = Counter(gold_keys) & Counter(given_keys)
    right = sum(map(_equal, gold_keys, given_keys)) if in_order else shared.total()
    longest = max(len(gold), len(given))
    score = right / longest if longest else 1.0
    return Comparison(right, _without(gold, gold_keys, shared), _without(given, given_keys, shared), score)


def kind_of(value: Json) -> Kind:
    """What kind of JSON value this is."""
    match value:
        case None:
            return "null"
        case bool():
            return "truth value"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
    return "object"


def canonical(value: Json) -> Hashable:
    """Equal for two JSON values exactly if they are equal by value."""
    kind = kind_of(value)
    if kind == "object":
        return kind, frozenset((key, canonical(inner)) for key, inner in value.items())
    return kind, tuple(map(canonical, value)) if kind == "list" else value


def _key(call: Call) -> Hashable:
    return call.name, canonical(call.arguments)


def _equal(left: Hashable, right: Hashable) -> bool:
    return left == right


def _without(calls: Sequence[Call], keys: Sequence[Hashable], matched: Counter[Hashable]) -> list[Call]:
    """The calls that are left when the matched ones are taken out, the first of equal ones first."""
    left = Counter(matched)
    rest = []
    for call, key in zip(calls, keys, strict=True):
        if left[key]:
            left[key] -= 1
        else:
            rest.append(call)
    return rest
