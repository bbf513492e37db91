"""Rules: what is sent arrives as it was, by exact type; what no encoder writes is refused, and nothing else happens."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, OrderedDict, deque
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_verifiers.proxy import containers, values
from mopd_verifiers.proxy.codec import MAX_DEPTH, Decoder, Encoder, TooDeepError
from mopd_verifiers.proxy.errors import ProtocolError

TEXT = st.text(st.characters(), max_size=8)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(1 << 4000), max_value=1 << 4000)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | TEXT
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids()
)
HASHABLE = st.recursive(ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.dictionaries(TEXT, inner, max_size=3).map(OrderedDict)
        | st.sets(HASHABLE, max_size=4)
        | st.binary(max_size=5).map(bytearray)
        | st.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=20,
)


def no_objects(*given):
    raise AssertionError(f"not plain data: {given[1]!r}")


def refuse(decoder, tag, body, depth):
    raise ProtocolError(f"an unknown tag {tag!r}")


def over_the_wire(value):
    encoded = Encoder(no_objects).encode(value)
    text = json.dumps(encoded, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Decoder(refuse).decode(json.loads(text.decode("utf-8", "surrogatepass")))


def shape(value):
    """A value with its exact types, for comparison."""
    if isinstance(value, dict):
        return type(value), [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), [shape(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(shape(item)) for item in value)
    return type(value), repr(value)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_a_value_survives(value):
    assert shape(over_the_wire(value)) == shape(value)


def test_odd_floats_and_containers_survive():
    back = over_the_wire([math.nan, math.inf, -0.0, 0, Counter("aab")])
    assert math.isnan(back[0])
    assert back[1] == math.inf
    assert math.copysign(1, back[2]) == -1
    assert back[4] == Counter(a=2, b=1)
    assert over_the_wire(deque([1], 3)).maxlen == 3


def test_a_big_number_is_quick():
    big = 7**400_000
    assert over_the_wire(big) == big


def test_shared_and_cyclic_containers():
    shared = [1]
    cycle = {"a": (shared, shared)}
    cycle["self"] = cycle
    back = over_the_wire(cycle)
    assert back["self"] is back
    assert back["a"][0] is back["a"][1]


class Sub(int):
    pass


class SubList(list):
    pass


@pytest.mark.parametrize("value", [Sub(1), SubList(), type("T", (str,), {})("x"), type("D", (dict,), {})()])
def test_a_subclass_is_no_plain_data(value):
    with pytest.raises(AssertionError, match="not plain data"):
        Encoder(no_objects).encode([value])


def test_depth_is_bounded_both_ways():
    deep, text = [], []
    for _ in range(MAX_DEPTH + 2):
        deep = [deep]
    with pytest.raises(TooDeepError):
        Encoder(no_objects).encode(deep)
    for _ in range(MAX_DEPTH + 2):
        text = {"t": [text]}
    with pytest.raises(ProtocolError, match="deeper"):
        Decoder(refuse).decode(text)


@pytest.mark.parametrize(
    "encoded",
    [
        {},
        {"t": [], "d": []},
        {"unknown": 1},
        {"t": 1},
        {"t": None},
        {"@": 0},
        {"@": -1},
        {"@": True},
        {"@": "0"},
        {"i": 5},
        {"i": "xyz"},
        {"i": None},
        {"d": [1]},
        {"d": [[], 1]},
        {"s": [[]]},
        {"fs": [[]]},
        {"b": ["!"]},
        {"b": [1]},
        {"b": []},
        {"ba": []},
        {"ba": [b"x".hex(), 1]},
        {"z": [1, 2]},
        {"r": [1, 2, 0]},
        {"r": [1.0, 2, 1]},
        {"D": ["one"]},
        {"D": [1]},
        {"F": [1, 0]},
        {"dt": [2024, 13, 1, 0, 0, 0, 0, math.nan, 0]},
        {"dt": [2024, 1, 1, 0, 0, 0, 0, 1e9, 0]},
        {"da": [2024]},
        {"td": [10**12, 0, 0]},
        {"u": ["x"]},
        {"dq": []},
        {"dq": ["x"]},
        {"dq": [-1]},
        {"dd": []},
        {"dd": [5]},
        {"io": ["x", -1]},
        {"io": [1, 2]},
        {"bi": ["x", 0]},
        {"ns": [1, 2]},
        {"sl": [1, 2, 3, 4]},
        {"ct": [1]},
    ],
)
def test_what_no_encoder_writes_is_refused(encoded):
    with pytest.raises(ProtocolError):
        Decoder(refuse).decode(encoded)


TAGS = ["@", "i", "h", "nt", "unknown", *values.BY_TAG, *containers.BY_TAG]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(TAGS),
            inner,
            max_size=2,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=500, deadline=None)
@given(JSON)
def test_the_decoder_gives_a_value_or_a_protocol_error(encoded):
    with suppress(ProtocolError):
        Decoder(refuse).decode(encoded)


def test_damaged_messages_give_a_value_or_a_protocol_error():
    rng = random.Random(0)
    text = json.dumps(Encoder(no_objects).encode([{1: (2, [3.5])}, {b"x", "y"}, deque([1]), 10**40, 1 + 2j]))
    for _ in range(2000):
        at = rng.randrange(len(text))
        damaged = text[:at] + rng.choice('[]{}"@:,0-tbdis') + text[at + rng.randrange(3) :]
        with suppress(ValueError, ProtocolError):
            Decoder(refuse).decode(json.loads(damaged))
