"""The immutable types that are sent by value, by exact type: a subclass of one is an object of its own.

A new one is a row of the table. `parts` names the exact types that a value is rebuilt from, so that rebuilding never
calls anything that the other side chose; None stands for any number of any values.
"""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath
from types import EllipsisType, MappingProxyType, NotImplementedType
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Value:
    """How one type is taken apart and put together again."""

    tag: str
    kind: type[Any]
    take: Callable[[Any], Iterable[object]]
    make: Callable[..., object]
    parts: tuple[type[Any], ...] | None


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _take_bytes(value: bytes) -> list[object]:
    return [base64.b64encode(value).decode("ascii")]


def _take_datetime(value: datetime.datetime) -> list[object]:
    clock = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return [*clock, _offset(value), value.fold]


def _make_datetime(*parts: Any) -> datetime.datetime:
    *clock, offset, fold = parts
    return datetime.datetime(*clock).replace(tzinfo=_zone(offset), fold=fold)


def _take_time(value: datetime.time) -> list[object]:
    return [value.hour, value.minute, value.second, value.microsecond, _offset(value), value.fold]


def _make_time(*parts: Any) -> datetime.time:
    *clock, offset, fold = parts
    return datetime.time(*clock).replace(tzinfo=_zone(offset), fold=fold)


def _offset(value: datetime.datetime | datetime.time) -> float:
    """Seconds from UTC; nan for a naive time."""
    offset = value.utcoffset()
    return float("nan") if offset is None else offset.total_seconds()


def _zone(offset_s: float) -> datetime.timezone | None:
    return None if offset_s != offset_s else datetime.timezone(datetime.timedelta(seconds=offset_s))


def _pairs(parts: Iterable[object]) -> dict[Any, object]:
    if not all(type(part) is tuple for part in parts):
        raise TypeError("an item is a pair")
    return dict(cast("Iterable[tuple[object, object]]", parts))


def _make_items(*parts: object) -> object:
    return _pairs(parts).items()


def _identity(*parts: Any) -> Any:
    return parts


_ALL = (
    Value("t", tuple, tuple, _identity, None),
    Value("fs", frozenset, tuple, lambda *parts: frozenset(parts), None),
    Value("b", bytes, _take_bytes, _unbase64, (str,)),
    Value("z", complex, lambda value: (value.real, value.imag), complex, (float, float)),
    Value("r", range, lambda value: (value.start, value.stop, value.step), range, (int, int, int)),
    Value("sl", slice, lambda value: (value.start, value.stop, value.step), slice, None),
    Value("...", EllipsisType, lambda _: (), lambda: ..., ()),
    Value("ni", NotImplementedType, lambda _: (), lambda: NotImplemented, ()),
    Value("D", Decimal, lambda value: (str(value),), Decimal, (str,)),
    Value("F", Fraction, lambda value: (value.numerator, value.denominator), Fraction, (int, int)),
    Value("dt", datetime.datetime, _take_datetime, _make_datetime, (int,) * 7 + (float, int)),
    Value("da", datetime.date, lambda value: (value.year, value.month, value.day), datetime.date, (int,) * 3),
    Value("ti", datetime.time, _take_time, _make_time, (int,) * 4 + (float, int)),
    Value(
        "td",
        datetime.timedelta,
        lambda value: (value.days, value.seconds, value.microseconds),
        datetime.timedelta,
        (int,) * 3,
    ),
    Value("u", uuid.UUID, lambda value: (value.hex,), uuid.UUID, (str,)),
    Value("dk", type({}.keys()), tuple, lambda *parts: dict.fromkeys(parts).keys(), None),
    Value("dv", type({}.values()), tuple, lambda *parts: dict(enumerate(parts)).values(), None),
    Value("di", type({}.items()), tuple, _make_items, None),
    Value("mp", MappingProxyType, lambda value: value.items(), lambda *parts: MappingProxyType(_pairs(parts)), None),
    Value("P", PosixPath, lambda value: (str(value),), PosixPath, (str,)),
    Value("pp", PurePosixPath, lambda value: (str(value),), PurePosixPath, (str,)),
)
BY_TYPE = {value.kind: value for value in _ALL}
BY_TAG = {value.tag: value for value in _ALL}
