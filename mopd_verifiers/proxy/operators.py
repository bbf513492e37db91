"""The special methods of proxies. A new one is a row of `special`, and a line here if it is of a new kind."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from mopd_verifiers.proxy import special
from mopd_verifiers.proxy.exceptions import nearest
from mopd_verifiers.proxy.remote import Remote, RemoteMeta, describe
from mopd_verifiers.proxy.settled import settle, settle_items, settle_iteration, settle_reversal

Method = Callable[..., Any]

_ITSELF = ("__enter__", "__iter__", "__aiter__", *special.IN_PLACE)


def _plain(name: str) -> Method:
    def method(self: Remote, *operands: object) -> Any:
        result = self._mopd_link.ask(name, self, *operands, is_blamed=self._mopd_is_subject())
        return _told_of_difference(self, result)

    return method


def _leave(self: Remote, kind: Any, *error: object) -> Any:
    result = self._mopd_link.ask("__exit__", self, _shared(kind), *error, is_blamed=self._mopd_is_subject())
    return result if _may_suppress(kind) else None


async def _leave_asynchronously(self: Remote, kind: Any, *error: object) -> Any:
    result = self._mopd_link.ask("__aexit__", self, _shared(kind), *error)
    return result if _may_suppress(kind) else None


def _shared(kind: Any) -> Any:
    """A class of the tests' own exceptions under a name that both sides have."""
    return nearest(kind) if isinstance(kind, type) and not isinstance(kind, RemoteMeta) else kind


def _may_suppress(kind: Any) -> bool:
    """Whether leaving a `with` may end this exception: never one by which a test fails, is skipped or ends."""
    return isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, AssertionError)


def _told_of_difference(self: Remote, result: object) -> object:
    """What a difference from the tests' data gives, unless it is data: that would decide how large it is."""
    trust = self._mopd_link.trust
    if trust.is_difference(self._mopd_number) and result is not None:
        if not isinstance(result, Remote):
            raise _not_data(self)
        trust.differ(result._mopd_number)
    return result


def _call(self: Remote, /, *operands: Any, **named: Any) -> Any:
    link = self._mopd_link
    return link.ask("call", self, *operands, named=named, is_blamed=link.mirror.is_asked(self))


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
        is_decisive = _may_decide(self, other)
        result = link.ask(name, *((other, self) if is_reflected else (self, other)), *more)
        if is_decisive:
            return result
        if not isinstance(result, Remote):
            raise _not_data(self)
        if name.replace("__i", "__") in special.COMPARING:
            link.trust.differ(result._mopd_number)
        return _told_of_difference(self, result)

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
    return self._mopd_link.ask("__iter__", self)


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
    **{name: settle(name, _plain(name)) for name in special.SETTLED},
    **{name: _order(name) for name in special.ORDER},
    **{name: _arithmetic(name) for name in special.ARITHMETIC},
    **{name: _arithmetic(operator, is_reflected=True) for name, operator in special.REFLECTED.items()},
    **{name: _arithmetic(name) for name in special.IN_PLACE},
    **{name: _asynchronous(name) for name in special.AWAITED},
    "__exit__": _leave,
    "__aexit__": _leave_asynchronously,
    "__contains__": _contains,
    "__getitem__": settle_items(_plain("__getitem__")),
    "__iter__": settle_iteration(_iterate, _plain("__getitem__")),
    "__reversed__": settle_reversal(_plain("__reversed__")),
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
