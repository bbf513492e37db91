"""Exceptions across the channel: by name where both sides have the class, else as a class of the tests' own.

Only classes that derive from `Exception`, and `SystemExit`, exist for a candidate; so nothing that it raises skips a
test, ends pytest or looks like the user's Ctrl-C.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mopd_verifiers.proxy import names
from mopd_verifiers.proxy.codec import Encoder, TooDeepError
from mopd_verifiers.proxy.errors import ProtocolError, UnsendableError
from mopd_verifiers.proxy.remote import RemoteMeta
from mopd_verifiers.proxy.wire import Json

_SENT = frozenset(kind for kind in names.CLASS_NAMES if issubclass(kind, BaseException))


def build_exception(kind: Any, args: list[object], text: Json, where: Json) -> BaseException:
    """An exception as the candidate tells it. Raises `ProtocolError` where there can be none such."""
    if not (isinstance(kind, type) and issubclass(kind, BaseException) and type(text) is type(where) is str):
        raise ProtocolError("an exception that is none")
    try:
        error = kind.__new__(kind, *args)
        error.args = tuple(args)
    except (TypeError, ValueError):
        raise ProtocolError(f"a {kind.__name__} that cannot be") from None
    _initialise(kind, error, args)
    vars(error)["_mopd_where"] = where
    if isinstance(kind, RemoteMeta):
        vars(error)["_mopd_text"] = text
    return error


def where_raised(error: BaseException) -> str:
    """Lines of the candidate's own code, outermost first; empty for an exception of the tests' own."""
    where = getattr(error, "__dict__", {}).get("_mopd_where", "")
    return where if isinstance(where, str) else ""


def refer_to_exception(encoder: Encoder, error: BaseException, depth: int) -> Json:
    """The tests' own exception under the nearest name that both sides have."""
    name = names.CLASS_NAMES[nearest(type(error))]
    try:
        return {"e": [name, encoder.encode_all(error.args, depth)]}
    except (UnsendableError, TooDeepError):
        return {"e": [name, [type(error).__name__]]}


def nearest(kind: type[BaseException]) -> type[BaseException]:
    """The class, or the first of its bases that both sides have."""
    return next(base for base in (*kind.__mro__, Exception) if base in _SENT)


def _initialise(kind: Any, error: BaseException, args: list[object]) -> None:
    """Set what a built-in class keeps beside its args, where the args are those that it is made with."""
    with suppress(TypeError, ValueError):
        kind.__init__(error, *args)
