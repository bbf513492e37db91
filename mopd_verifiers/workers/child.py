"""The inside of a worker: reads one JSON value a line from stdin, answers one a line, and never outlives its parent.

A worker's module calls `serve` with its handler when run with `python -m`. What the handler prints goes nowhere; what
it raises ends the worker. Imports only the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

READY = b'"ready"\n'
"""The first line of a worker that can take jobs."""

_PR_SET_PDEATHSIG = 1
_MIB = 1024 * 1024


def serve(handle: Callable[[Any], Any]) -> None:
    """Answer jobs until stdin ends. The command line holds the parent's process id and the memory limit in MiB.

    The limit is on address space: an allocation beyond it raises `MemoryError` in the handler. A worker that still
    holds half of it after an answer ends with code 0 (retires), so that no job inherits another's memory.
    """
    parent, memory_mb = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * _MIB, memory_mb * _MIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = _private_stdout()
    replies.write(READY)
    for line in sys.stdin.buffer:
        replies.write(json.dumps(handle(json.loads(line))).encode() + b"\n")
        if _address_space() > memory_mb * _MIB / 2:
            return


def _die_with(parent: int) -> None:
    """Be killed when the thread that started this process ends (Linux); elsewhere the end of stdin has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)


def _private_stdout() -> BinaryIO:
    """Stdout for answers alone, unbuffered; whatever else is printed, by libraries too, is dropped."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return replies


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()
