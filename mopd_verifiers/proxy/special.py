"""The special methods that cross over, and how the candidate's process carries them out. A new one is a line here.

Each operation is a function of the object and its operands. An object's class says which of them it has, so that what
the tests hold has these and no others: `callable`, `iter` and `len` find out the usual way.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable
from typing import Any

_ARITHMETIC = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "lshift", "rshift", "and", "or", "xor")
_NAMED = ("and", "or")


def _operator(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(operator, f"{name}_" if name in _NAMED else name)
    return found


PLAIN: dict[str, Callable[..., Any]] = {
    "__len__": len,
    "__bool__": bool,
    "__int__": int,
    "__float__": float,
    "__complex__": complex,
    "__index__": operator.index,
    "__bytes__": bytes,
    "__neg__": operator.neg,
    "__pos__": operator.pos,
    "__invert__": operator.invert,
    "__abs__": abs,
    "__round__": round,
    "__trunc__": math.trunc,
    "__floor__": math.floor,
    "__ceil__": math.ceil,
    "__iter__": iter,
    "__next__": next,
    "__reversed__": reversed,
    "__getitem__": operator.getitem,
    "__setitem__": operator.setitem,
    "__delitem__": operator.delitem,
    "__enter__": lambda one: type(one).__enter__(one),
    "__exit__": lambda one, *error: type(one).__exit__(one, *error),
    "__copy__": copy.copy,
    "__deepcopy__": copy.deepcopy,
}
"""Hand nothing to the object that would decide a comparison; what they give back is an answer like any other."""

SETTLED = frozenset(
    {"__len__", "__bool__", "__int__", "__float__", "__complex__", "__index__", "__bytes__", "__abs__"}
    | {"__trunc__", "__floor__", "__ceil__"}
)
"""What an object says of itself, and has to go on saying as long as nothing is done to it."""
COMPARING = ("__sub__", "__mod__", "__xor__")
"""What tells of two values how they differ, among arithmetic."""

ORDER: dict[str, Callable[..., Any]] = {f"__{name}__": getattr(operator, name) for name in ("lt", "le", "gt", "ge")}
CONTAINS: dict[str, Callable[..., Any]] = {"__contains__": operator.contains}
ARITHMETIC: dict[str, Callable[..., Any]] = {
    **{f"__{name}__": _operator(name) for name in _ARITHMETIC},
    "__divmod__": divmod,
    "__pow__": pow,
}
REFLECTED = {f"__r{name.strip('_')}__": name for name in ARITHMETIC}
"""Carried out as the operator itself, with the operands exchanged."""
IN_PLACE: dict[str, Callable[..., Any]] = {
    **{f"__i{name}__": getattr(operator, f"i{name}") for name in _ARITHMETIC},
    "__ipow__": operator.ipow,
}
EQUALITY: dict[str, Callable[..., Any]] = {"__eq__": operator.eq, "__ne__": operator.ne}
TEXT: dict[str, Callable[..., Any]] = {"__repr__": repr, "__str__": str, "__format__": format, "__hash__": hash}
AWAITED = ("__await__", "__anext__", "__aenter__", "__aexit__")
"""Carried out to their end in the candidate's own event loop."""


def find_special(kind: type, name: str) -> Any:
    """What Python takes for an operator on instances of a class: never what the class's own class has."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


OPERATIONS = {**PLAIN, **ORDER, **CONTAINS, **ARITHMETIC, **IN_PLACE, **EQUALITY, **TEXT}
OFFERED = (*PLAIN, *ORDER, *CONTAINS, *ARITHMETIC, *REFLECTED, *IN_PLACE, *AWAITED, "__aiter__", "__call__")
"""What a class is asked for. Equality and text have every class, and whether it has a hash is asked beside."""
