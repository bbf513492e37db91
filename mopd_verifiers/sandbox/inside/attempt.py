"""Tries each layer by attempting what it forbids, in a child that has put on this layer alone.

Run as a process of its own, with a temporary folder as its argument; prints a JSON object, layer -> why it is missing,
or nothing if it holds. A new layer gets a function here.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from mopd_verifiers.sandbox.inside import identity, landlock, limits, namespaces, seccomp

_WORDS = 2000
_MEMORY_MB = 16


def main() -> None:
    """Try every layer and print what was found."""
    folder = Path(sys.argv[1])
    attempts: dict[str, Callable[[], str]] = {
        "rlimits": _rlimits,
        "uid": lambda: _uid(folder),
        "landlock": lambda: _landlock(folder),
        "seccomp": _seccomp,
        "namespaces": lambda: _namespaces(folder),
    }
    print(json.dumps({layer: _in_child(attempt) for layer, attempt in attempts.items()}))


def _in_child(attempt: Callable[[], str]) -> str:
    """What the attempt says, in a process of its own: nothing if the layer holds, else why it does not."""
    theirs, ours = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(ours, (attempt() or "holds").encode()[:_WORDS])
        except BaseException as error:  # a boundary: why a layer cannot be put on is the answer
            os.write(ours, (str(error) or type(error).__name__).encode()[:_WORDS])
        finally:
            os._exit(0)
    os.close(ours)
    said = os.read(theirs, _WORDS).decode(errors="replace")
    os.close(theirs)
    os.waitpid(pid, 0)
    return "" if said == "holds" else said or "the attempt ended without a word"


def _rlimits() -> str:
    limits.apply(1.0, limits.address_space() + (_MEMORY_MB << 20), limits.most_threads(is_alone=True))
    try:
        bytearray(4 * _MEMORY_MB << 20)
    except MemoryError:
        return ""
    return "memory beyond the limit can be had"


def _uid(folder: Path) -> str:
    secret = folder / "of-root"
    secret.touch(mode=0o600)
    uid = identity.spare_uid(0)
    if uid is None:
        return "there is no other user to become; that takes root"
    library = [Path(entry) for entry in sys.path if Path(entry).exists()]
    if hidden := identity.first_hidden(library, uid):
        return f"the standard library in {hidden} cannot be read by another user"
    identity.drop_uid(uid)
    if _is_allowed(lambda: os.setuid(0)):
        return "the user can be changed back"
    return "another user's file can be read" if _is_allowed(secret.read_bytes) else ""


def _landlock(folder: Path) -> str:
    file = folder / "anything"
    file.write_bytes(b"")
    identity.forgo_privileges()
    landlock.apply(landlock.build([]))
    if _is_allowed(file.read_bytes):
        return "files can be read"
    return "files can be written" if _is_allowed(lambda: file.write_bytes(b"")) else ""


def _seccomp() -> str:
    parent = os.getppid()
    identity.forgo_privileges()
    seccomp.apply(seccomp.build(scratch=False))
    if _is_allowed(lambda: os.kill(parent, 0)):
        return "signals can be sent"
    if _is_allowed(socket.socket):
        return "sockets can be made"
    return "processes can be started" if _is_allowed(_fork) else ""


def _fork() -> None:
    if not (pid := os.fork()):
        os._exit(0)
    os.waitpid(pid, 0)


def _namespaces(folder: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        namespaces.enter()
        if _is_allowed(lambda: socket.create_connection(address, timeout=1.0).close()):
            return "this machine's network can be reached"
    namespaces.mount_memory(str(folder), most_mb=1, most_files=10)
    return "" if _in_child(lambda: str(os.getpid())) == "1" else "other processes can be seen"


def _is_allowed(act: Callable[[], object]) -> bool:
    """Whether it can be done; what is forbidden raises EPERM, EACCES, or that there is no network."""
    try:
        act()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENETUNREACH):
            return False
        raise
    return True
