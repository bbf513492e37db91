"""The layer `rlimits`: what a child may use at most, whatever it does. Wall time is the parent's to keep."""

from __future__ import annotations

import math
import os
import platform
import resource
from pathlib import Path

_MIB = 1 << 20
_FILE_SIZE, _DESCRIPTORS, _THREADS = _MIB, 64, 256
_AMONG_OTHERS = 1024
"""How many threads a user may have more who has other processes: these may come to need some too."""
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
    return _THREADS if is_alone else _threads_now() + _AMONG_OTHERS


def _threads_now() -> int:
    """As the kernel counts them for this process's user, seen from here or not; found by trying under which limits
    it can fork. 0 for a user whom it does not limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = os.cpu_count() and _MOST_THREADS if hard == resource.RLIM_INFINITY else hard
    return 0


def are_by_namespace() -> bool:
    """Whether this kernel counts the threads in a user namespace by themselves."""
    return tuple(int(part) for part in platform.release().split(".")[:2] if part.isdigit()) >= (5, 14)


def address_space() -> int:
    """Bytes of address space that this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
