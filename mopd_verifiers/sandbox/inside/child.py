"""The forked child of one run: takes its descriptors, puts on every layer, says so, and calls the entry.

Whatever goes wrong before the entry is called is told to the zygote, and no code of the program runs.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path

from mopd_verifiers.sandbox.inside import identity, landlock, leave, limits, scratch, seccomp
from mopd_verifiers.sandbox.inside.job import Job
from mopd_verifiers.sandbox.inside.setup import Descriptors, Setup, Task

ARMED = b"armed"
"""What the zygote is told when every layer is on."""

_REPORT, _CHANNEL, _STATUS = 3, 4, 5
_HIGHEST = 1024
"""Above any descriptor that a zygote has: it starts with one and takes few."""


def run(task: Task, given: Descriptors, setup: Setup, status: int, parent: int, threads: int) -> int:
    """Do one run in this process; return its exit code.

    status: where to say that all layers are on, or why not. threads: how many its user may have.
    """
    try:
        _arrange(given, status)
        os.setsid()
        source, payload, *files = _read(given.blob, task.sizes)
        entry = _entry(task.entry)
        if setup.scratch:
            scratch.fill(Path(setup.scratch), dict(zip(task.files, files, strict=True)), _owner(setup))
            os.chdir(setup.scratch)
            sys.path.insert(0, setup.scratch)
        _renew_streams()
        _put_on(setup, task, parent, threads)
        os.write(_STATUS, ARMED)
        os.close(_STATUS)
    except BaseException as error:  # a boundary: nothing of the program may run after it
        os.write(_STATUS, f"{type(error).__name__}: {error}".encode()[:1000])
        return 1
    channel = _CHANNEL if given.channel is not None else None
    return leave.finish(lambda: entry(Job(source.decode("utf-8", "surrogatepass"), payload, _REPORT, channel)))


def _put_on(setup: Setup, task: Task, parent: int, threads: int) -> None:
    """Every layer, in an order in which none hinders the next."""
    if setup.held_bytes is not None:
        limits.apply(task.wall_s, setup.held_bytes + (task.memory_mb << 20), threads)
    if setup.uid is not None:
        identity.drop_uid(setup.uid)
    if setup.counted_as is not None:
        identity.count_as(setup.counted_as)
    identity.drop_capabilities()
    identity.isolate(parent)
    if setup.ruleset is not None:
        landlock.apply(setup.ruleset)
    os.closerange(_STATUS + 1, _HIGHEST)
    if setup.filter is not None:
        seccomp.apply(setup.filter)


def _arrange(given: Descriptors, status: int) -> None:
    """Give every descriptor its number; the zygote has none of its own among those (`reserve`)."""
    wanted = {given.stdin: 0, given.stdout: 1, given.stderr: 2, given.report: _REPORT, status: _STATUS}
    if given.channel is not None:
        wanted[given.channel] = _CHANNEL
    for descriptor, number in wanted.items():
        os.dup2(descriptor, number)
    if given.channel is None:
        os.close(_CHANNEL)


def reserve(control: int) -> socket.socket:
    """Occupy the numbers that a child's descriptors get, so that no other has one; the socket moves above them."""
    moved = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, _STATUS + 1)
    os.close(control)
    while os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) < _STATUS:
        pass
    return socket.socket(fileno=moved)


def _owner(setup: Setup) -> int:
    return setup.uid if setup.uid is not None else os.geteuid()


def _entry(name: str) -> Callable[[Job], object]:
    module, _, function = name.partition(":")
    entry: Callable[[Job], object] = getattr(sys.modules[module], function)
    return entry


def _read(blob: int, sizes: tuple[int, ...]) -> list[bytes]:
    """The parts of the blob."""
    with open(blob, "rb", closefd=False) as file:
        return [file.read(size) for size in sizes]


def _renew_streams() -> None:
    """Standard streams as a fresh interpreter has them in UTF-8 mode, and the usual answer to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = TextIOWrapper(BufferedReader(FileIO(0, closefd=False)), "utf-8", "surrogateescape")
    sys.stdout = TextIOWrapper(BufferedWriter(FileIO(1, "w", closefd=False)), "utf-8", "surrogateescape")
    sys.stderr = TextIOWrapper(BufferedWriter(FileIO(2, "w", closefd=False)), "utf-8", "backslashreplace", None, True)
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
