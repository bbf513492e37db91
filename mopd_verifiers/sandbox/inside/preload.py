"""What a zygote has imported before the first program comes, so that no program pays for it."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Iterable, Sequence

_COMMON = """
abc argparse array ast asyncio atexit base64 bisect calendar cmath codecs collections collections.abc contextlib
copy copyreg ctypes dataclasses datetime decimal enum fractions functools gc hashlib heapq inspect io itertools json
keyword linecache locale logging math numbers operator os pathlib pickle pprint queue random re reprlib secrets
shutil signal statistics string struct tempfile textwrap threading time timeit token tokenize traceback types typing
unicodedata uuid warnings weakref zlib zoneinfo encodings.idna encodings.latin_1 encodings.ascii concurrent.futures
concurrent.futures.thread
"""
COMMON = _COMMON.split()
"""Modules of the standard library that programs of coding benchmarks import, and what those need."""


def load(entries: Sequence[str], packages: Sequence[str], found_in: Sequence[str]) -> list[str]:
    """Import everything; return the packages outside the standard library that programs may use.

    found_in: folders that hold the entries and packages; they are on `sys.path` here and not afterwards, where modules
    inside the packages are still found, through the packages. Raises `ImportError`.
    """
    library = list(sys.path)
    _import(COMMON)
    sys.path += [folder for folder in found_in if folder not in library]
    try:
        _import(entries)
        before = set(sys.modules)
        _import(packages)
    finally:
        sys.path[:] = library
    linecache.clearcache()
    own = {name.partition(".")[0] for name in entries}
    brought = {name.partition(".")[0] for name in {*packages, *(set(sys.modules) - before)}}
    return sorted(name for name in brought - own - sys.stdlib_module_names if name in sys.modules)


def _import(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)
