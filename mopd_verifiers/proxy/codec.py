"""Values as typed JSON and back. What has no JSON type of its own is an object with one key, its tag.

None, bool, int (up to 64 bits), float and str are themselves; a list is an array; everything else is `{tag: parts}`,
by `values`, by `containers`, or by what the two ends agree on for their objects. Containers are numbered in the order
in which they come, so that `{"@": n}` is the n-th once more: shared references and cycles survive.
Decoding calls nothing but the constructors of those tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from types import NoneType
from typing import Any, TypeAlias

from mopd_verifiers.proxy import containers, values
from mopd_verifiers.proxy.errors import ProtocolError
from mopd_verifiers.proxy.wire import Json

MAX_DEPTH = 100
"""Levels of nesting that are sent; Python's own recursion limit leaves no room for many more."""

_AS_IT_IS = frozenset({NoneType, bool, float, str})
_NATIVE = _AS_IT_IS | {int}
_SMALL = 1 << 63

Refer: TypeAlias = "Callable[[Encoder, Any, int], Json]"
"""How an end says what is no plain data: called with the encoder, the value and its depth."""
Resolve: TypeAlias = "Callable[[Decoder, str, Json, int], object]"
"""How an end finds what the other one said so: called with the decoder, the tag, the body and its depth."""


class TooDeepError(Exception):
    """A value is nested deeper than `MAX_DEPTH`."""


class Encoder:
    """Encodes the values of one message. `cells` are the containers that the other end already has, in their order."""

    def __init__(self, refer: Refer, cells: Sequence[object] = ()) -> None:
        self.cells = list(cells)
        self._refer = refer
        self._numbers = {id(cell): number for number, cell in enumerate(cells)}

    def encode(self, value: object, depth: int = 0) -> Json:
        """Raises `TooDeepError`, and what `refer` raises for a value that it cannot say."""
        kind = type(value)
        if kind in _AS_IT_IS:
            return value
        if isinstance(value, int) and kind is int:
            return value if -_SMALL < value < _SMALL else {"i": hex(value)}
        if depth > MAX_DEPTH:
            raise TooDeepError(f"nested deeper than {MAX_DEPTH} levels")
        if kind in containers.BY_TYPE:
            return self._container(value, containers.BY_TYPE[kind], depth)
        if kind in values.BY_TYPE:
            form = values.BY_TYPE[kind]
            return {form.tag: self.encode_all(form.take(value), depth)}
        return self._refer(self, value, depth)

    def encode_all(self, parts: Any, depth: int) -> list[Json]:
        """The parts of something at `depth`."""
        return list(map(self.encode, parts, repeat(depth + 1)))

    def content(self, cell: object, depth: int = 0) -> list[Json]:
        """What a container holds now."""
        return self.encode_all(containers.BY_TYPE[type(cell)].take(cell), depth)

    def _container(self, value: object, form: containers.Container, depth: int) -> Json:
        number = self._numbers.setdefault(id(value), len(self.cells))
        if number < len(self.cells):
            return {"@": number}
        self.cells.append(value)
        content = self.content(value, depth)
        return content if form is containers.LIST else {form.tag: content}


class Decoder:
    """Decodes the values of one message. `cells` are the containers that both ends already have, in their order."""

    def __init__(self, resolve: Resolve, cells: Sequence[object] = ()) -> None:
        self.cells = list(cells)
        self._resolve = resolve

    def decode(self, encoded: Json, depth: int = 0) -> Any:
        """Raises `ProtocolError` for what no encoder writes."""
        if type(encoded) in _NATIVE:
            return encoded
        if depth > MAX_DEPTH:
            raise ProtocolError(f"a value nested deeper than {MAX_DEPTH} levels")
        if isinstance(encoded, list):
            return self._container(containers.LIST, encoded, depth)
        if not isinstance(encoded, dict) or len(encoded) != 1:
            raise ProtocolError("an object without a single tag")
        ((tag, body),) = encoded.items()
        return self._tagged(tag, body, depth)

    def decode_all(self, encoded: Json, depth: int) -> list[Any]:
        """The parts of something at `depth`."""
        return list(map(self.decode, as_list(encoded), repeat(depth + 1)))

    def fill(self, cell: object, content: Json, depth: int = 0) -> None:
        """Replace what a container holds."""
        parts = self.decode_all(content, depth)
        form = containers.BY_TYPE[type(cell)]
        try:
            form.fill(cell, parts)
        except (TypeError, ValueError, LookupError) as error:
            raise ProtocolError(f"a {form.kind.__name__} that cannot be: {error}") from None

    def _tagged(self, tag: str, body: Json, depth: int) -> Any:
        if tag == "@":
            return self._cell(body)
        if tag == "i":
            return _integer(body)
        if tag in containers.BY_TAG:
            return self._container(containers.BY_TAG[tag], body, depth)
        if tag in values.BY_TAG:
            return _value(values.BY_TAG[tag], self.decode_all(body, depth))
        return self._resolve(self, tag, body, depth)

    def _cell(self, number: Json) -> object:
        if type(number) is not int or not 0 <= number < len(self.cells):
            raise ProtocolError("a reference to a container that was not sent")
        return self.cells[number]

    def _container(self, form: containers.Container, body: Json, depth: int) -> object:
        try:
            cell = form.new(as_list(body))
        except (TypeError, ValueError, LookupError):
            raise ProtocolError(f"a {form.kind.__name__} that cannot be") from None
        self.cells.append(cell)
        self.fill(cell, body, depth)
        return cell


def as_list(encoded: Json) -> list[Json]:
    """The parts of something that has parts."""
    if not isinstance(encoded, list):
        raise ProtocolError("a tag without parts")
    return encoded


def _integer(text: Json) -> int:
    try:
        return int(text, 16)
    except (TypeError, ValueError):
        raise ProtocolError("a number that is none") from None


def _value(form: values.Value, parts: list[object]) -> object:
    if form.parts is not None and tuple(map(type, parts)) != form.parts:
        raise ProtocolError(f"a {form.kind.__name__} of other parts than it has")
    try:
        return form.make(*parts)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ProtocolError(f"a {form.kind.__name__} that cannot be: {error}") from None
