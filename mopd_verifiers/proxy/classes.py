"""Builds the tests' own classes for the candidate's, from the forms that `describe` sends.

They derive from one another as the candidate's do, so that `isinstance` and `except` need nothing special. Whatever a
form says, such a class holds methods of ours alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mopd_verifiers.proxy import names
from mopd_verifiers.proxy.errors import ProtocolError
from mopd_verifiers.proxy.operators import COROUTINE, EQUALITY, METHODS
from mopd_verifiers.proxy.remote import Remote, RemoteMeta, is_forwarded
from mopd_verifiers.proxy.special import OFFERED

if TYPE_CHECKING:
    from mopd_verifiers.proxy.link import Link

_MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class _Form:
    """A class as the candidate's process tells it."""

    name: str
    module: str
    bases: list[Any]
    offered: list[str]
    is_hashable: bool
    fields: list[str] | None
    is_exception: bool


_TYPES = (str, str, list, list, bool)


def build_class(link: Link, number: int, form: object) -> RemoteMeta:
    """The class. Raises `ProtocolError` for a form that no class has."""
    parsed = _parse(form)
    bases, namespace = _shape(parsed)
    namespace |= {"__doc__": _Doc(), "__module__": parsed.module, "_mopd_link": link, "_mopd_class": number}
    try:
        return type.__new__(RemoteMeta, parsed.name[:_MAX_NAME_CHARS], bases, namespace)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"a class that cannot be: {error}") from None


def _parse(form: object) -> _Form:
    if not isinstance(form, list) or len(form) != 7 or tuple(map(type, form[:5])) != _TYPES:
        raise ProtocolError("a class of another form than they have")
    parsed = _Form(*form)
    is_odd = not all(isinstance(base, type) for base in parsed.bases)
    is_odd |= not all(type(name) is str and name in OFFERED for name in parsed.offered)
    is_odd |= type(parsed.is_exception) is not bool
    if is_odd or not (parsed.fields is None or _are_fields(parsed.fields)):
        raise ProtocolError("a class of another form than they have")
    return parsed


def _are_fields(fields: object) -> bool:
    return isinstance(fields, list) and all(
        type(field) is str and field.isidentifier() and not field.startswith("_") for field in fields
    )


def _shape(form: _Form) -> tuple[tuple[type, ...], dict[str, Any]]:
    """The bases and what the class holds beside its origin."""
    if form.is_exception:
        return _bases(form, BaseException) or (Exception,), dict(_EXCEPTION)
    if form.fields is not None:
        fields = {name: property(itemgetter(index)) for index, name in enumerate(form.fields)}
        return _bases(form, tuple) or (tuple,), {**_NAMED_TUPLE, **fields, "_fields": tuple(form.fields)}
    return _bases(form, Remote) or (Remote,), _members(form)


def _bases(form: _Form, kind: type) -> tuple[type, ...]:
    return tuple(base for base in form.bases if issubclass(base, kind))


def _members(form: _Form) -> dict[str, Any]:
    members: dict[str, Any] = {"__slots__": (), **EQUALITY, **{name: METHODS[name] for name in form.offered}}
    members["__hash__"] = Remote.__hash__ if form.is_hashable else None
    if "__await__" in form.offered:
        members |= COROUTINE
    data = [base.__name__ for base in form.bases if base in names.CLASS_NAMES and base is not object]
    return {**members, "_mopd_data": data[0]} if data else members


class _Doc:
    """The docstring of an instance or of the class."""

    def __get__(self, one: Any, kind: RemoteMeta) -> Any:
        return kind._mopd_link.ask("getattr", kind if one is None else one, "__doc__")


def _fetch(self: Any, name: str) -> Any:
    if name.startswith("_mopd_") or not is_forwarded(name):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    return type(self)._mopd_link.ask("getattr", self, name)


def _text_of_exception(self: Any) -> str:
    text = vars(self).get("_mopd_text", "")
    return text if isinstance(text, str) else ""


_EXCEPTION: dict[str, Any] = {"__getattr__": _fetch, "__str__": _text_of_exception}
_NAMED_TUPLE: dict[str, Any] = {
    "__slots__": (),
    "__getattr__": _fetch,
    "__repr__": lambda self: str(type(self)._mopd_link.ask("__repr__", self)),
}
