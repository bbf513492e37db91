"""What an answer says of itself and of its items, asked once: it cannot say what is right and then something else.

An answer with `__getitem__` and `__len__` is a mapping if it has an attribute `keys`, and otherwise a sequence unless
it refuses index 0. A sequence's items are those by index: iteration, slices and `reversed` are made from them. Anything
else has the items that it iterates over at first, and for each key its first value. All of it is kept as long as
nothing but reading is done. What the tests made, and iterators, are asked each time.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, cast

from mopd_verifiers.proxy.remote import Remote, describe
from mopd_verifiers.proxy.special import find_special

Method = Callable[..., Any]

_REFUSALS = (LookupError, TypeError, ValueError)
_HASHED = (str, bytes, int, float, complex, type(None))


def settle(name: str, ask: Method) -> Method:
    """A special method without operands, from the one that asks."""

    def method(self: Remote) -> Any:
        return _keep(self, name, lambda: ask(self)) if _is_answer(self) else ask(self)

    return method


def settle_items(ask: Method) -> Method:
    """`__getitem__`, from the one that asks."""

    def method(self: Remote, key: Any) -> Any:
        if not _is_answer(self):
            return ask(self, key)
        if not (isinstance(key, int | slice) and _has(self, "__len__")):
            return _value(self, key, ask)
        if _refusal(self, ask) is not None:
            return _unplaced(self, key, ask)
        return _part(self, key, ask) if isinstance(key, slice) else _item(self, key, ask)

    return method


def settle_iteration(ask: Method, take: Method) -> Method:
    """`__iter__`, from the one that asks and the `__getitem__` that does."""

    def method(self: Remote) -> Any:
        if not _is_answer(self):
            return ask(self)
        if _has(self, "__len__") and _has(self, "__getitem__") and _refusal(self, take) is None:
            return _by_index(self, take)
        recorded = copy.copy(_keep(self, "__iter__", lambda: _record(ask(self))))
        return _counted(self, recorded) if _has(self, "__len__") else recorded

    return method


def settle_reversal(ask: Method) -> Method:
    """`__reversed__`, from the one that asks."""

    def method(self: Any) -> Any:
        return reversed(list(self)) if _is_answer(self) and isinstance(self, Iterable) else ask(self)

    return method


def _is_answer(self: Remote) -> bool:
    return not (self._mopd_is_subject() or _has(self, "__next__"))


def _has(self: Remote, name: str) -> bool:
    return find_special(type(self), name) is not None


def _length(self: Any) -> int:
    return len(self)


def _keep(self: Remote, what: Hashable, ask: Callable[[], Any]) -> Any:
    settled, key = self._mopd_link.settled, (self._mopd_number, what)
    if key not in settled:
        value = ask()
        settled.setdefault(key, value)
        return value
    return settled[key]


def _is_mapping(self: Remote) -> bool:
    return cast("bool", _keep(self, "keys", lambda: hasattr(self, "keys")))


def _refusal(self: Remote, take: Method) -> Exception | None:
    """Why an answer of a length is no sequence; None where it is one."""
    return cast("Exception | None", _keep(self, "refusal", lambda: _find_refusal(self, take)))


def _find_refusal(self: Remote, take: Method) -> Exception | None:
    if _is_mapping(self):
        return TypeError(f"{describe(self)}, has keys and no order by index")
    try:
        if _length(self):
            _value(self, 0, take)
    except _REFUSALS as error:
        return error
    return None


def _value(self: Remote, key: object, take: Method) -> Any:
    return _keep(self, ("item", key), lambda: take(self, key)) if _is_hashed(key) else take(self, key)


def _is_hashed(key: object) -> bool:
    """Whether to hash a key asks nobody."""
    return all(map(_is_hashed, key)) if isinstance(key, tuple) else isinstance(key, _HASHED)


def _unplaced(self: Remote, key: int | slice, take: Method) -> Any:
    """What is no sequence refuses slices, and what it refused; a mapping small integers that are no keys of its."""
    refusal = _refusal(self, take)
    if refusal is not None and (isinstance(key, slice) or (key == 0 and not _is_mapping(self))):
        raise refusal
    if _is_mapping(self) and key in range(_length(self)) and _has(self, "__iter__") and key not in _numbers(self):
        raise KeyError(key)
    return _value(self, key, take)


def _numbers(self: Any) -> set[int]:
    """The keys of a mapping that could be taken for indices."""
    return cast("set[int]", _keep(self, "numbers", lambda: {key for key in self if isinstance(key, int)}))


def _item(self: Remote, index: int, take: Method) -> Any:
    """A sequence's item. From its end only where the candidate gives one; past it not where Python would iterate so."""
    length = _length(self)
    if index < 0:
        take(self, index)
    if index >= length and not _has(self, "__iter__"):
        raise IndexError(f"{describe(self)}, holds {length} items")
    return _value(self, index + length if -length <= index < 0 else index, take)


def _part(self: Remote, key: slice, take: Method) -> Any:
    """A slice of the kind that the candidate makes, with the items that are settled."""
    part, places = take(self, key), range(_length(self))[key]
    items = [_value(self, place, take) for place in places]
    if isinstance(part, list | tuple):
        return type(part)(items)
    if isinstance(part, Remote):
        return _hold(self, part, places, items)
    if list(part) != items:
        raise _two_faced(self)
    return part


def _hold(self: Remote, part: Remote, places: range, items: list[Any]) -> Any:
    """The slice, which now has these items whatever it says; none that is known as something else."""
    if _has(part, "__next__"):
        return iter(items)
    if part is self and places == range(_length(self)):
        return part
    settled, number, origin = self._mopd_link.settled, part._mopd_number, (self._mopd_number, places)
    known = settled.get((number, "origin"))
    if known not in (None, origin) or (known is None and (number, "__len__") in settled):
        raise _two_faced(self)
    about = {"origin": origin, "keys": False, "refusal": None, "__len__": len(items), "__iter__": _record(items)}
    values = {("item", place): item for place, item in enumerate(items)}
    settled.update({(number, what): value for what, value in (about | values).items()})
    return part


def _two_faced(self: Remote) -> TypeError:
    return TypeError(f"{describe(self)}, holds other items by slice than by index")


def _record(items: Iterable[object]) -> Iterator[object]:
    """What copies of this iterator go through from the beginning; the original is asked for each item once."""
    return itertools.tee((item for item in items), 1)[0]


def _by_index(self: Remote, take: Method) -> Iterator[object]:
    index = 0
    while index < _length(self):
        yield _value(self, index, take)
        index += 1


def _counted(self: Remote, items: Iterator[object]) -> Iterator[object]:
    """The items, as long as they are as many as the answer says."""
    length, count = _length(self), 0
    for item in items:
        count += 1
        yield item
    if count != length:
        raise TypeError(f"{describe(self)}, says that it holds {length} items, and gave {count}")
