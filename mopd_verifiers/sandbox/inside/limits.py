"""The layer `rlimits`: what a child may use at most, whatever it does. Wall time is the parent's to keep."""

from __future__ import annotations

import math
import platform
import resource
from pathlib import Path

_MIB = 1 << 20
_FILE_SIZE, _DESCRIPTORS, _THREADS = _MIB, 64, 256
_SPARE_CPU_S, _PROCESSORS = 2, 4
"""CPU time ends what the parent's clock did not. An honest program may keep some processors busy all the time."""


def apply(wall_s: float, memory_bytes: int, count_threads: bool) -> None:
    """Bound address space, CPU time, file size, descriptors and core dumps; what this process has already counts.

    count_threads: also bound the threads of this user, who must then have no other processes.
    """
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: (math.ceil(wall_s) + _SPARE_CPU_S) * _PROCESSORS,
        resource.RLIMIT_FSIZE: _FILE_SIZE,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }
    if count_threads:
        limits[resource.RLIMIT_NPROC] = _THREADS
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def are_by_namespace() -> bool:
    """Whether this kernel counts the threads in a user namespace by themselves."""
    return tuple(int(part) for part in platform.release().split(".")[:2] if part.isdigit()) >= (5, 14)


def address_space() -> int:
    """Bytes of address space that this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
