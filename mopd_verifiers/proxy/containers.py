"""The mutable types that are sent by value, keep their identity within a call, and are written back after it.

A new one is a row of the table. `fill` replaces the whole content in place: it raises `TypeError` or `ValueError` for
parts that do not fit, before it changes anything.
"""

from __future__ import annotations

import base64
import io
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any

from mopd_verifiers.proxy.wire import Json


@dataclass(frozen=True, slots=True)
class Container:
    """How one type is taken apart and filled again. `new` makes an empty one; it may look at the encoded parts."""

    tag: str
    kind: type[Any]
    take: Callable[[Any], Iterable[object]]
    fill: Callable[[Any, Sequence[Any]], None]
    new: Callable[[Sequence[Json]], object]


def _fill_list(target: list[object], parts: Sequence[object]) -> None:
    target[:] = parts


def _fill_set(target: set[object], parts: Sequence[object]) -> None:
    content = set(parts)
    target.clear()
    target.update(content)


def _take_dict(value: Mapping[Any, object]) -> Iterable[object]:
    return chain.from_iterable(value.items())


def _fill_dict(target: dict[object, object], parts: Sequence[object]) -> None:
    content = dict(zip(parts[::2], parts[1::2], strict=True))
    target.clear()
    target.update(content)


def _take_default(value: defaultdict[object, object]) -> Iterable[object]:
    return (value.default_factory, *_take_dict(value))


def _fill_default(target: defaultdict[object, object], parts: Sequence[Any]) -> None:
    factory = parts[0]
    if factory is not None and not callable(factory):
        raise TypeError("a factory is called")
    _fill_dict(target, parts[1:])
    target.default_factory = factory


def _take_deque(value: deque[object]) -> Iterable[object]:
    return (value.maxlen, *value)


def _fill_deque(target: deque[object], parts: Sequence[object]) -> None:
    target.clear()
    target.extend(parts[1:])


def _new_deque(parts: Sequence[Json]) -> object:
    return deque(maxlen=parts[0])


def _take_bytearray(value: bytearray) -> Iterable[object]:
    return (base64.b64encode(value).decode("ascii"),)


def _fill_bytearray(target: bytearray, parts: Sequence[str]) -> None:
    (text,) = parts
    target[:] = base64.b64decode(text, validate=True)


def _take_stream(value: io.StringIO | io.BytesIO) -> Iterable[object]:
    return (None,) if value.closed else (value.getvalue(), value.tell())


def _fill_stream(target: Any, parts: Sequence[Any]) -> None:
    if list(parts) == [None]:
        target.close()
        return
    content, position = parts
    if type(content) is not type(target.getvalue()) or type(position) is not int or position < 0:
        raise TypeError("a stream has a content and a position")
    target.seek(0)
    target.truncate()
    target.write(content)
    target.seek(position)


def _take_namespace(value: SimpleNamespace) -> Iterable[object]:
    return _take_dict(vars(value))


def _fill_namespace(target: SimpleNamespace, parts: Sequence[Any]) -> None:
    content: dict[str, object] = dict(zip(parts[::2], parts[1::2], strict=True))
    if not all(type(name) is str for name in content):
        raise TypeError("an attribute has a name")
    vars(target).clear()
    vars(target).update(content)


LIST = Container("l", list, list, _fill_list, lambda _: [])
_ALL = (
    LIST,
    Container("d", dict, _take_dict, _fill_dict, lambda _: {}),
    Container("s", set, list, _fill_set, lambda _: set()),
    Container("ba", bytearray, _take_bytearray, _fill_bytearray, lambda _: bytearray()),
    Container("dq", deque, _take_deque, _fill_deque, _new_deque),
    Container("od", OrderedDict, _take_dict, _fill_dict, lambda _: OrderedDict()),
    Container("dd", defaultdict, _take_default, _fill_default, lambda _: defaultdict()),
    Container("ct", Counter, _take_dict, _fill_dict, lambda _: Counter()),
    Container("io", io.StringIO, _take_stream, _fill_stream, lambda _: io.StringIO(newline="")),
    Container("bi", io.BytesIO, _take_stream, _fill_stream, lambda _: io.BytesIO()),
    Container("ns", SimpleNamespace, _take_namespace, _fill_namespace, lambda _: SimpleNamespace()),
)
BY_TYPE = {container.kind: container for container in _ALL}
BY_TAG = {container.tag: container for container in _ALL}
