"""Entries that run beside a candidate inside the sandbox. They know the inputs, and nothing of what is expected.

`call` calls the candidate's function. Its payload is lines of JSON: the function's name and whether the prelude is
wanted, then `[args, kwargs]` for each call. Its report is lines of JSON: `["loaded"]`, then for each call one of
`["value", result]`, `["raised", traceback]`, and `["unfit", text]` for a result that JSON has no form for; or
`["broken", traceback]` alone, where there is nothing to call. They are the candidate's word: it can write such lines.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mopd_verifiers.code import prelude
from mopd_verifiers.sandbox.inside import script
from mopd_verifiers.sandbox.inside.job import Job

CALL = f"{__name__}:call"
RUN_WITH_PRELUDE = f"{__name__}:run_with_prelude"

_MAX_DEPTH = 200
_MAX_BITS = 13_288
"""Of an integer: 4000 decimal digits."""
_MAX_TRACE_CHARS = 20_000


def run_with_prelude(job: Job) -> None:
    """Run the source as a program, with the prelude's names."""
    prelude.install()
    script.run(job)


def call(job: Job) -> None:
    """Load the source as a module and make each call."""
    header, *calls = job.payload.splitlines()
    entry_point, with_prelude = json.loads(header)
    if with_prelude:
        prelude.install()
    sys.stdout = _Nowhere()
    try:
        module = script.execute(job.source, "solution")
        _find(module, entry_point)
    except BaseException as error:  # The boundary: a candidate may raise anything.
        return _tell(job, _line("broken", _trace(error)))
    _tell(job, _line("loaded"))
    for one in calls:
        _tell(job, _outcome(module, entry_point, one))


class _Nowhere(io.TextIOBase):
    """What a function prints is not read."""

    def write(self, text: str) -> int:
        return len(text)


def _find(module: ModuleType, entry_point: str) -> Callable[..., Any]:
    """What to call: the function of that name, or else the method of a new `Solution`."""
    found: Callable[..., Any] | None = vars(module).get(entry_point)
    if found is None and "Solution" in vars(module):
        found = getattr(vars(module)["Solution"](), entry_point, None)
    if not callable(found):
        raise NameError(f"the program has no function {entry_point!r}, nor a class Solution with such a method")
    return found


def _outcome(module: ModuleType, entry_point: str, one: bytes) -> bytes:
    args, kwargs = json.loads(one)
    try:
        return _line("value", _plain(_find(module, entry_point)(*args, **kwargs), _MAX_DEPTH))
    except _UnfitError as unfit:
        return _line("unfit", str(unfit))
    except BaseException as error:  # The boundary: a candidate may raise anything.
        return _line("raised", _trace(error))


class _UnfitError(Exception):
    """A result that JSON has no form for."""


def _plain(value: Any, depth: int) -> Any:
    """The value in JSON's types, by exact type: a subclass may lie about what it holds."""
    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        return _small(value)
    if depth == 0:
        raise _UnfitError(f"something nested more than {_MAX_DEPTH} deep")
    if kind in (list, tuple):
        return [_plain(item, depth - 1) for item in value]
    if kind in (dict, OrderedDict, defaultdict, Counter):
        return {_key(key): _plain(item, depth - 1) for key, item in value.items()}
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return _plain(value.tolist(), depth - 1)
    raise _UnfitError(f"a {kind.__name__}")


def _small(value: int) -> int:
    if value.bit_length() > _MAX_BITS:
        raise _UnfitError("an integer of more than 4000 digits")
    return value


def _key(key: Any) -> str:
    """A key as JSON spells it."""
    if type(key) is str:
        return key
    if key is None or type(key) in (bool, int, float):
        return json.dumps(key)
    raise _UnfitError(f"a dict with a key that is a {type(key).__name__}")


def _trace(error: BaseException) -> str:
    return script.describe(error)[-_MAX_TRACE_CHARS:]


def _line(*parts: Any) -> bytes:
    return json.dumps(parts).encode() + b"\n"


def _tell(job: Job, line: bytes) -> None:
    while line:
        line = line[os.write(job.report, line) :]
