"""The layer `rlimits`: what a child may use at most, whatever it does. Wall time is the parent's to keep."""

from __future__ import annotations

import math
import os
import platform
import resource
import time
from bisect import bisect_left
from functools import lru_cache
from pathlib import Path

_MIB = 1 << 20
_FILE_SIZE, _DESCRIPTORS, _THREADS = _MIB, 64, 256
_AMONG_OTHERS = 1024
"""How many threads a user may have more who has other processes: these may come to need some too."""
_PERIOD_S, _MOST_THREADS = 30.0, 1 << 22
_SPARE_CPU_S, _PROCESSORS = 2, 4
"""CPU time ends what the parent's clock did not. An honest program may keep some processors busy all the time."""


def apply(wall_s: float, memory_bytes: int, threads: int) -> None:
    """Bound address space, CPU time, file size, descriptors, core dumps, and the threads of this process's user.

    What this process, and for threads its user, has already counts.
    """
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: (math.ceil(wall_s) + _SPARE_CPU_S) * _PROCESSORS,
        resource.RLIMIT_FSIZE: _FILE_SIZE,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: threads,
    }
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def most_threads(is_alone: bool) -> int:
    """How many threads the user of a program may have. is_alone: all that the user will have are the program's."""
    return _THREADS if is_alone else _threads_in(int(time.monotonic() / _PERIOD_S)) + _AMONG_OTHERS


@lru_cache(maxsize=1)
def _threads_in(period: int) -> int:
    """The threads of this process's user as the kernel counts them, which is more than can be seen from here.

    Found by trying under which limits it can fork; 0 for a user whom limits do not bind.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = _MOST_THREADS if hard == resource.RLIM_INFINITY else min(hard, _MOST_THREADS)
    try:
        return bisect_left(range(most), True, key=lambda limit: _can_fork(limit, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


def _can_fork(limit: int, hard: int) -> bool:
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, hard))
    try:
        pid = os.fork()
    except BlockingIOError:
        return False
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def are_by_namespace() -> bool:
    """Whether this kernel counts the threads in a user namespace by themselves."""
    return tuple(int(part) for part in platform.release().split(".")[:2] if part.isdigit()) >= (5, 14)


def address_space() -> int:
    """Bytes of address space that this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
