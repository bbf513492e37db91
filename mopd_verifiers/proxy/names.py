"""Classes and functions that both processes have, sent by name. A new one is a line here.

From the candidate only classes come this way: types of plain data and exceptions. So no name that it sends lets the
tests call anything but these. The tests may also send it functions, such as `len`, `math.sqrt` or `str.upper`.
"""

from __future__ import annotations

import asyncio
import binascii
import builtins
import copy
import csv
import dataclasses
import decimal
import json
import math
import operator
import queue
import re
import statistics
import struct
import zlib
from types import BuiltinFunctionType, MethodDescriptorType, ModuleType, NoneType

from mopd_verifiers.proxy import containers, values

_DATA: tuple[type, ...] = (object, NoneType, bool, int, float, str, *values.BY_TYPE, *containers.BY_TYPE)
_EXCEPTIONS: tuple[type, ...] = (
    SystemExit,
    *(one for one in vars(builtins).values() if isinstance(one, type) and issubclass(one, Exception)),
    *(one for one in vars(decimal).values() if isinstance(one, type) and issubclass(one, ArithmeticError)),
    asyncio.InvalidStateError,
    asyncio.QueueEmpty,
    asyncio.QueueFull,
    binascii.Error,
    copy.Error,
    csv.Error,
    dataclasses.FrozenInstanceError,
    json.JSONDecodeError,
    queue.Empty,
    queue.Full,
    re.error,
    statistics.StatisticsError,
    struct.error,
    zlib.error,
)
CLASSES: dict[str, type] = {f"{one.__module__}.{one.__qualname__}": one for one in (*_DATA, *_EXCEPTIONS)}
"""What either side may send, by its name."""
CLASS_NAMES = {one: name for name, one in CLASSES.items()}

_HOMES: tuple[ModuleType | type, ...] = (builtins, math, operator, *(one for one in _DATA if one is not object))
_WITHHELD = frozenset({"breakpoint", "compile", "eval", "exec", "input", "open", "__import__"})
FUNCTIONS: dict[str, object] = {
    f"{home.__name__}.{name}": one
    for home in _HOMES
    for name, one in vars(home).items()
    if isinstance(one, BuiltinFunctionType | MethodDescriptorType) and name not in _WITHHELD
}
"""What the tests may send beside, by its name."""
FUNCTION_NAMES = {one: name for name, one in FUNCTIONS.items()}
