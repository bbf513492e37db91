"""The warm process that forks one child a run. It reads jobs from its socket, and ends when the socket does.

Messages are JSON, one a packet. To here: `run` with the fields of `setup.Task` and the descriptors of
`setup.Descriptors`; `kill`. From here: `ready` (`missing`: layers that this interpreter goes without, and why) or
`failed`, once; then `ended` for every `run`, and `emptied` after it where programs have a scratch folder.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from mopd_verifiers.sandbox.inside import (
    child,
    identity,
    landlock,
    limits,
    namespaces,
    orphans,
    paths,
    preload,
    scratch,
    seccomp,
)
from mopd_verifiers.sandbox.inside.setup import Descriptors, Kind, Setup, Task

_PACKET, _DESCRIPTORS, _WORDS = 1 << 18, 6, 4096
_LOOK_EVERY_MS = 100


def serve(control: socket.socket, kind: Kind, is_contained: bool, number: int) -> None:
    """Load the interpreter, then run what comes until the socket ends.

    is_contained: in namespaces of its own. number: one that no other zygote has, for a user of its own.
    """
    try:
        setup, missing = _prepare(kind, is_contained, number)
    except ImportError as error:
        _send(control, failed="import", reason=str(error))
        return
    except Exception as error:  # a boundary: the caller is told instead of left waiting
        _send(control, failed="start", reason=f"{type(error).__name__}: {error}")
        return
    gc.collect()
    gc.freeze()
    _send(control, ready=True, missing=missing)
    while received := _receive(control):
        message, descriptors = received
        if "run" in message:
            _run(control, Task.read(message["run"]), Descriptors(*descriptors), setup)


def _prepare(kind: Kind, is_contained: bool, number: int) -> tuple[Setup, dict[str, str]]:
    library = sys.path[:] = sys.path[:-1]
    packages = preload.load(kind.entries, kind.packages, kind.found_in)
    seen = [Path(entry) for entry in library if Path(entry).exists()]
    seen += [path for name in packages for path in paths.package_paths(name) if path.exists()]
    uid, counted_as, why = _user(number, seen) if "uid" in kind.layers else (None, None, "")
    is_bounded = bool(kind.scratch) and "namespaces" in kind.layers
    if is_bounded:
        namespaces.mount_memory(kind.scratch, scratch.MOST_MB, scratch.MOST_FILES)
    if kind.scratch and uid is not None:
        os.chown(kind.scratch, uid, uid)
    setup = Setup(
        held_bytes=limits.address_space() if "rlimits" in kind.layers else None,
        uid=uid,
        counted_as=counted_as,
        is_alone=uid is not None or counted_as is not None or (is_contained and limits.are_by_namespace()),
        ruleset=landlock.build(paths.rules(library, packages, kind.scratch)) if "landlock" in kind.layers else None,
        filter=seccomp.build(bool(kind.scratch)) if "seccomp" in kind.layers else None,
        scratch=kind.scratch,
        watches_scratch=bool(kind.scratch) and not is_bounded,
    )
    identity.forgo_privileges()
    os.environ.clear()
    return setup, {"uid": why} if why else {}


def _user(number: int, seen: list[Path]) -> tuple[int | None, int | None, str]:
    """Which user a child becomes, or as which its threads count instead, and why it does not become another."""
    uid = identity.spare_uid(number)
    if uid is None:
        return None, None, "there is no other user to become"
    if hidden := identity.first_hidden(seen, uid):
        return None, uid, f"{hidden} cannot be read by another user"
    return uid, None, ""


def _run(control: socket.socket, task: Task, given: Descriptors, setup: Setup) -> None:
    """Fork, wait until the child has ended (killing it when told to), and say how it ended."""
    words, status = os.pipe()
    parent, threads = os.getpid(), limits.most_threads(setup.is_alone)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = child.run(task, given, setup, status, parent, threads)
        finally:
            os._exit(code)
    for descriptor in (*given.all(), status):
        os.close(descriptor)
    was_too_full = _await_end(control, pid, Path(setup.scratch) if setup.watches_scratch else None)
    _, ended, usage = os.wait4(pid, 0)
    said = os.read(words, _WORDS)
    os.close(words)
    if setup.filter is None:
        orphans.end_all()
    _send(
        control,
        ended=int(signal.SIGXFSZ) if was_too_full else ended,
        armed=said == child.ARMED,
        words=said.decode(errors="replace"),
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_kb=usage.ru_maxrss,
    )
    if setup.scratch:
        scratch.empty(Path(setup.scratch))
        _send(control, emptied=True)


def _await_end(control: socket.socket, pid: int, folder: Path | None) -> bool:
    """Until the child has ended; it is not reaped here, so its number is not another's.

    It is killed when told so, when the caller is gone, and when it fills the folder to watch: True is returned then.
    """
    child_fd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(child_fd, select.POLLIN)
    poll.register(control, select.POLLIN)
    is_too_full = False
    while child_fd not in (ready := {descriptor for descriptor, _ in poll.poll(_LOOK_EVERY_MS if folder else None)}):
        received = _receive(control) if ready else ({}, [])
        is_too_full = is_too_full or (folder is not None and scratch.is_too_full(folder))
        if ready or is_too_full:
            os.kill(pid, signal.SIGKILL)
        if received is None:
            os.waitpid(pid, 0)
            os._exit(0)
    os.close(child_fd)
    return is_too_full


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message; None when the other side is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _PACKET, _DESCRIPTORS)
    except ConnectionError:
        return None
    return (json.loads(data), descriptors) if data else None


def _send(control: socket.socket, **message: object) -> None:
    control.sendall(json.dumps(message).encode())
