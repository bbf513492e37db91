"""The tests' own classes and proxies for what lives in the candidate's process, and the names under which they cross.

The forms are those of `describe`. One number is one proxy, so that `is` means the same on both sides.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from mopd_verifiers.proxy import names
from mopd_verifiers.proxy.classes import build_class
from mopd_verifiers.proxy.codec import Decoder, Encoder, Resolve, as_list
from mopd_verifiers.proxy.errors import ProtocolError, UnsendableError
from mopd_verifiers.proxy.exceptions import build_exception, refer_to_exception
from mopd_verifiers.proxy.remote import Remote, RemoteMeta
from mopd_verifiers.proxy.wire import Json

if TYPE_CHECKING:
    from mopd_verifiers.proxy.link import Link

_MAX_CLASS_CHAIN = 30


class Mirror:
    """What the tests hold of the candidate's."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._remotes: dict[int, Remote] = {}
        self._classes: dict[int, RemoteMeta] = {}
        self._asked: set[int] = set()
        self._building = 0

    def reach(self, name: str, value: object) -> Any:
        """The value, now on record as what the tests reached by a name that they chose."""
        if isinstance(value, Remote):
            self._asked.add(value._mopd_number)
        elif isinstance(value, RemoteMeta):
            self._link.trust.reach(name, value)
        return value

    def is_asked(self, remote: Remote) -> bool:
        """Whether the tests reached it by such a name, so that what they call it with is their doing."""
        return remote._mopd_number in self._asked

    def refer(self, encoder: Encoder, value: Any, depth: int) -> Json:
        """What an encoder writes for something that is no plain data. Raises `UnsendableError` if there is no way."""
        kind = type(value)
        if isinstance(value, RemoteMeta):
            return {"c": value._mopd_class}
        if isinstance(kind, RemoteMeta) and issubclass(kind, tuple):
            return {"nt": [kind.__dict__["_mopd_class"], *encoder.encode_all(tuple(value), depth)]}
        if isinstance(value, Remote):
            return {"h": value._mopd_number}
        if isinstance(value, BaseException):
            if "_mopd_number" in vars(value):
                return {"h": vars(value)["_mopd_number"]}
            return refer_to_exception(encoder, value, depth)
        if isinstance(value, TracebackType):
            return None
        if isinstance(value, ModuleType) and "_mopd_link" in vars(value):
            return {"m": value.__name__}
        return _by_name(value)

    def resolver(self, is_answer: bool) -> Resolve:
        """How a decoder finds what the candidate refers to; is_answer: its objects answer."""
        return partial(self._resolve, is_answer)

    def class_of(self, number: Json) -> RemoteMeta:
        """The tests' own class for one of the candidate's."""
        if type(number) is not int:
            raise ProtocolError("a class without a number")
        if number not in self._classes:
            if self._building > _MAX_CLASS_CHAIN:
                raise ProtocolError("a class that derives from too many others")
            self._building += 1
            form = self._link.ask("describe", number)
            self._classes.setdefault(number, build_class(self._link, number, form))
            self._building -= 1
        return self._classes[number]

    def _resolve(self, is_answer: bool, decoder: Decoder, tag: str, body: Json, depth: int) -> object:
        match tag:
            case "h":
                return self._remote(is_answer or depth > 0, *_of_length(2, body))
            case "c":
                return self.class_of(body)
            case "n" if type(body) is str and body in names.CLASSES:
                return names.CLASSES[body]
            case "nt" if body:
                kind, *items = as_list(body)
                return self._named_tuple(self.class_of(kind), decoder.decode_all(items, depth))
            case "e":
                kind, args, text, where, number = _of_length(5, body)
                if type(number) is not int:
                    raise ProtocolError("an exception without a number")
                error = build_exception(decoder.decode(kind, depth + 1), decoder.decode_all(args, depth), text, where)
                vars(error)["_mopd_number"] = number
                return error
        raise ProtocolError(f"an unknown tag {tag[:20]!r}")

    def _remote(self, is_answer: bool, number: Json, class_number: Json) -> Remote:
        kind = self.class_of(class_number)
        if type(number) is not int or not issubclass(kind, Remote):
            raise ProtocolError("an object without a number")
        remote = self._remotes.get(number)
        if remote is None:
            remote = self._remotes[number] = Remote._mopd_make(kind, number)
        elif type(remote) is not kind:
            raise ProtocolError("an object that changed its class")
        if is_answer:
            self._link.trust.answer(number)
        return remote

    def _named_tuple(self, kind: Any, items: list[object]) -> object:
        if not issubclass(kind, tuple) or len(kind._fields) != len(items):
            raise ProtocolError("a named tuple of other items than it has")
        return tuple.__new__(kind, items)


def _by_name(value: Any) -> Json:
    try:
        if isinstance(value, type):
            return {"n": names.CLASS_NAMES[value]}
        return {"f": names.FUNCTION_NAMES[value]}
    except (KeyError, TypeError):
        kind = "the class " + value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
        raise UnsendableError(f"{kind}, which cannot leave the tests' process") from None


def _of_length(length: int, body: Json) -> list[Json]:
    if len(as_list(body)) != length:
        raise ProtocolError("a tag of other parts than it has")
    return as_list(body)
