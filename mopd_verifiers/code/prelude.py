"""Names that LiveCodeBench's programs may use without importing them; `install` puts them behind every global name.

Importing this module imports their modules, so that a warm interpreter has them.
"""

from __future__ import annotations

import builtins
import sys
from importlib import import_module
from typing import Any

_MODULES = (
    "string",
    "re",
    "datetime",
    "collections",
    "heapq",
    "bisect",
    "copy",
    "math",
    "random",
    "statistics",
    "itertools",
    "functools",
    "operator",
    "io",
    "sys",
    "json",
    "typing",
)
_RECURSION_LIMIT = 50_000


_LOADED = {name: import_module(name) for name in _MODULES}


def _public_names() -> dict[str, Any]:
    """Anew each time: what `sys` holds in a warm interpreter is not what it holds in the program's process."""
    found: dict[str, Any] = {}
    for module in _LOADED.values():
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        found |= {name: getattr(module, name) for name in names}
    return {name: value for name, value in (found | _LOADED).items() if name not in vars(builtins)}


def install() -> None:
    """Make the names available to every module of this process, as built-ins are, and allow deep recursion."""
    vars(builtins).update(_public_names())
    sys.setrecursionlimit(_RECURSION_LIMIT)
