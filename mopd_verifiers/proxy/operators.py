"""The special methods of proxies. A new one is a row of `special`, and a line here if it is of a new kind."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

from mopd_verifiers.proxy import special
from mopd_verifiers.proxy.remote import Remote, describe

Method = Callable[..., Any]

_ITSELF = ("__enter__", "__iter__", "__aiter__", *special.IN_PLACE)


def _plain(name: str) -> Method:
    return lambda self, *operands: self._mopd_link.ask(name, self, *operands, is_blamed=self._mopd_is_subject())


def _call(self: Remote, /, *operands: Any, **named: Any) -> Any:
    """Call it. As in a generator, no StopIteration gets out: it would end a `map` in the tests without a word."""
    link = self._mopd_link
    try:
        return link.ask("call", self, *operands, named=named, is_blamed=link.mirror.is_asked(self))
    except StopIteration as error:
        raise RuntimeError("the candidate raised StopIteration") from error


def _equality(name: str) -> Method:
    def method(self: Remote, other: object) -> Any:
        if not _may_decide(self, other) or not self._mopd_link.can_send(other):
            return NotImplemented
        return self._mopd_link.ask(name, self, other)

    return method


def _order(name: str) -> Method:
    def method(self: Remote, other: object) -> Any:
        if not _may_decide(self, other):
            return _refuse(self, other)
        return self._mopd_link.ask(name, self, other) if self._mopd_link.can_send(other) else NotImplemented

    return method


def _contains(self: Remote, item: object) -> Any:
    if not _may_decide(self, item):
        raise _not_data(self)
    return self._mopd_link.ask("__contains__", self, item)


def _arithmetic(name: str, *, is_reflected: bool = False) -> Method:
    def method(self: Remote, other: object, *more: object) -> Any:
        link = self._mopd_link
        if not link.trust.is_named(type(self)):
            return _refuse(self, other)
        if not link.can_send(other):
            return NotImplemented
        result = link.ask(name, *((other, self) if is_reflected else (self, other)), *more)
        if isinstance(result, Remote) or _may_decide(self, other):
            return result
        raise _not_data(self)

    return method


def _keeping_itself(method: Method) -> Method:
    """The method, after which a subject that gave itself is still one."""

    def wrapped(self: Remote, *operands: object) -> Any:
        was_subject = self._mopd_is_subject()
        result = method(self, *operands)
        if was_subject and result is self:
            self._mopd_link.trust.keep(self._mopd_number)
        return result

    return wrapped


def _iterate(self: Remote) -> Any:
    iterator = self._mopd_link.ask("__iter__", self)
    if special.find_special(type(self), "__len__") is None or self._mopd_is_subject():
        return iterator
    return _counted(self, iterator, len(self))


def _counted(remote: Remote, iterator: Iterator[object], length: int) -> Iterator[object]:
    """What an answer iterates over, as long as it is as long as it says."""
    count = 0
    for item in iterator:
        count += 1
        yield item
    if count != length:
        raise TypeError(f"{describe(remote)}, says that it holds {length} items, and gave {count}")


def _await(self: Remote) -> Generator[None, None, Any]:
    """Awaited at once and to its end, without ever yielding to the tests' own loop."""
    yield from ()
    return self._mopd_link.ask("__await__", self)


def _send(self: Remote, value: object) -> None:
    raise StopIteration(self._mopd_link.ask("__await__", self))


def _throw(self: Remote, error: Any, value: Any = None, trace: object = None) -> None:
    raise error if value is None else value


def _close(self: Remote) -> None:
    """A coroutine that was not awaited never ran."""


def _asynchronous(name: str) -> Method:
    async def method(self: Remote, *operands: object) -> Any:
        return self._mopd_link.ask(name, self, *operands)

    return method


def _may_decide(self: Remote, other: object) -> bool:
    trust = self._mopd_link.trust
    if isinstance(other, Remote):
        return trust.is_named(type(self))
    return self._mopd_is_subject()


def _refuse(self: Remote, other: object) -> Any:
    """Leave it to the other operand where that one's class is named."""
    if isinstance(other, Remote) and self._mopd_link.trust.is_named(type(other)):
        return NotImplemented
    raise _not_data(self)


def _not_data(self: Remote) -> TypeError:
    return TypeError(f"the candidate answered with {describe(self)}; operators with the tests' data need plain data")


_KINDS: dict[str, Method] = {
    **{name: _plain(name) for name in special.PLAIN},
    **{name: _order(name) for name in special.ORDER},
    **{name: _arithmetic(name) for name in special.ARITHMETIC},
    **{name: _arithmetic(operator, is_reflected=True) for name, operator in special.REFLECTED.items()},
    **{name: _arithmetic(name) for name in special.IN_PLACE},
    **{name: _asynchronous(name) for name in special.AWAITED},
    "__contains__": _contains,
    "__iter__": _iterate,
    "__aiter__": _plain("__aiter__"),
    "__await__": _await,
    "__call__": _call,
}
METHODS = {name: _keeping_itself(method) if name in _ITSELF else method for name, method in _KINDS.items()}
"""By name, for classes that have them."""
EQUALITY = {name: _equality(name) for name in special.EQUALITY}
"""For every class."""
COROUTINE: dict[str, Method] = {"send": _send, "throw": _throw, "close": _close}
"""For classes whose instances are awaited: what asyncio drives a coroutine with."""
