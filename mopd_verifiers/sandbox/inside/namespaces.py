"""The layer `namespaces`: a network without interfaces, and processes, mounts and IPC of its own.

It is put on once, by the process that then forks the zygote; the zygote is process 1 in there.
"""

from __future__ import annotations

import os
from pathlib import Path

from mopd_verifiers.sandbox.inside import kernel

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000
_NO_SETUID, _NO_DEVICES = 2, 4
_ALL_BUT_USER = _NEWNS | _NEWIPC | _NEWPID | _NEWNET


def enter() -> None:
    """Leave this process's namespaces; children are in a new one for processes. Raises `OSError`.

    As root a user namespace is not needed; without the rights of root, or as somebody else, it comes first.
    """
    try:
        kernel.unshare(_ALL_BUT_USER)
    except PermissionError:
        _enter_as_user()
    kernel.mount("none", "/", "", _RECURSIVE | _PRIVATE)


def mount_memory(folder: str, most_mb: int, most_files: int) -> None:
    """Put a small file system in memory over the folder, seen from these namespaces alone. Raises `OSError`."""
    options = f"size={most_mb}m,nr_inodes={most_files},mode=0700"
    kernel.mount("tmpfs", folder, "tmpfs", _NO_SETUID | _NO_DEVICES, options)


def _enter_as_user() -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(_NEWUSER | _ALL_BUT_USER)
    process = Path("/proc/self")
    (process / "setgroups").write_text("deny", encoding="ascii")
    (process / "uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
    (process / "gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
