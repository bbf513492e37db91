"""What the candidate's process tells of its own objects: handles, classes and exceptions.

`{"h": [number, class]}` is an object, `{"c": number}` a class, `{"n": name}` a class of `names`, `{"nt": [class,
*items]}` a named tuple, and `{"e": [class, args, text, where, number]}` an exception; a number stands for one object
as long as the process lives. A scalar of numpy goes as the number that it holds.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection
from typing import Any

from mopd_verifiers.proxy import names
from mopd_verifiers.proxy.codec import Encoder, TooDeepError
from mopd_verifiers.proxy.special import EQUALITY, OFFERED, find_special
from mopd_verifiers.proxy.wire import Json

_MAX_FRAMES = 6
_MAX_TEXT_CHARS = 2000
_ALL_OF_A_TUPLE = (*OFFERED, *EQUALITY, "__hash__", "__str__", "__format__")


class Objects:
    """Every object that was told of, by number. `files` are the candidate's own, for where an exception came from."""

    def __init__(self, files: Collection[str]) -> None:
        self._objects: list[object] = []
        self._numbers: dict[int, int] = {}
        self._files = frozenset(files)

    def __getitem__(self, number: int) -> Any:
        return self._objects[number]

    def number(self, one: object) -> int:
        """The number of an object, which lives on because of it."""
        number = self._numbers.setdefault(id(one), len(self._objects))
        if number == len(self._objects):
            self._objects.append(one)
        return number

    def refer(self, encoder: Encoder, value: Any, depth: int) -> Json:
        """What an encoder writes for something that is no plain data."""
        kind = type(value)
        if issubclass(kind, type):
            name = names.CLASS_NAMES.get(value)
            return {"n": name} if name is not None else {"c": self.number(value)}
        if issubclass(kind, BaseException):
            return self._exception(encoder, value, depth)
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(kind, numpy.generic):
            return encoder.encode(value.item(), depth + 1)
        if is_named_tuple(kind):
            return {"nt": [self.number(kind), *encoder.encode_all(tuple(value), depth)]}
        return {"h": [self.number(value), self.number(kind)]}

    def class_form(self, kind: type) -> list[object]:
        """What the tests' process builds its own class from."""
        return [
            kind.__name__,
            kind.__module__,
            [base for base in kind.__bases__ if base is not object],
            [name for name in OFFERED if find_special(kind, name) is not None],
            kind.__hash__ is not None,
            list(getattr(kind, "_fields", ())) if is_named_tuple(kind) else None,
            issubclass(kind, BaseException),
        ]

    def _exception(self, encoder: Encoder, error: BaseException, depth: int) -> Json:
        try:
            text = str(error)[:_MAX_TEXT_CHARS]
        except Exception:  # The candidate's own `__str__` may raise anything.
            text = ""
        try:
            args = encoder.encode_all(error.args, depth)
        except (TooDeepError, RecursionError):
            args = [text]
        return {"e": [encoder.encode(type(error)), args, text, self._where(error), self.number(error)]}

    def _where(self, error: BaseException) -> str:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename in self._files]
        lines = [f"{one.filename}:{one.lineno} in {one.name}: {one.line}" for one in frames[-_MAX_FRAMES:]]
        return "\n".join(lines)[-_MAX_TEXT_CHARS:]


def is_named_tuple(kind: type) -> bool:
    """Whether a class is a tuple with named fields and no operators of its own, so that its items are all of it."""
    if not issubclass(kind, tuple) or not isinstance(getattr(kind, "_fields", None), tuple):
        return False
    return all(find_special(kind, name) is find_special(tuple, name) for name in _ALL_OF_A_TUPLE)
