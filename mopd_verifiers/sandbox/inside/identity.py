"""The layer `uid`, and what goes with it: no capabilities, no new privileges, not dumpable, gone with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Sequence
from pathlib import Path

from mopd_verifiers.sandbox.inside import kernel

_SET_PDEATHSIG, _SET_DUMPABLE, _CAPBSET_DROP, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
_CAP_AMBIENT, _CAP_AMBIENT_CLEAR = 47, 4
_CAPABILITY_HEAD = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
_NO_CAPABILITIES = ctypes.create_string_buffer(24)
_FIRST_UNUSED_UID, _NOBODY = 0x60000000, 65534
_SETGID, _SETUID, _SETPCAP = 6, 7, 8
_NONE_HIDDEN, _UNTOLD = 254, 255


def spare_uid(number: int) -> int | None:
    """A user that nobody is, one a `number`; else `nobody`; None where there is no other user."""
    if not (_has_capability(_SETGID) and _has_capability(_SETUID)):
        return None
    others = {_FIRST_UNUSED_UID + number, _NOBODY} - {os.geteuid()}
    return next(
        (uid for uid in sorted(others, reverse=True) if _is_mapped("uid", uid) and _is_mapped("gid", uid)), None
    )


def first_hidden(paths: Sequence[Path], uid: int) -> Path | None:
    """The first of these (100 at most) that the user cannot read, if any. Asks in a child that becomes the user."""
    pid = os.fork()
    if not pid:
        code = _UNTOLD
        try:
            drop_uid(uid)
            code = next((i for i, path in enumerate(paths) if not os.access(path, os.R_OK)), _NONE_HIDDEN)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if 0 <= code < len(paths):
        return paths[code]
    if code != _NONE_HIDDEN:
        raise OSError(f"could not become user {uid}")
    return None


def drop_uid(uid: int) -> None:
    """Become another user, with no groups. Raises `OSError`."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def count_as(uid: int) -> None:
    """Let this process's threads count as another user's, its files still being read as its own user's."""
    os.setresuid(uid, -1, -1)


def forgo_privileges() -> None:
    """Give up all ways for this process and its children to gain a privilege. Raises `OSError`."""
    kernel.prctl(_SET_NO_NEW_PRIVS, 1)
    if _has_capability(_SETPCAP):
        for number in range(_last_capability() + 1):
            kernel.prctl(_CAPBSET_DROP, number)
        kernel.prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR)


def drop_capabilities() -> None:
    """Give up every capability that this process has. Raises `OSError`."""
    kernel.syscall("capset", _CAPABILITY_HEAD, _NO_CAPABILITIES)


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    kernel.prctl(_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    kernel.prctl(_SET_CHILD_SUBREAPER, 1)


def isolate(parent: int) -> None:
    """Hide this process's memory from others of its user, and end when its parent does. Comes after `drop_uid`."""
    kernel.prctl(_SET_DUMPABLE, 0)
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)


def _is_mapped(kind: str, number: int) -> bool:
    ranges = (line.split() for line in Path(f"/proc/self/{kind}_map").read_text(encoding="ascii").splitlines())
    return any(int(first) <= number < int(first) + int(count) for first, _, count in ranges)


def _has_capability(number: int) -> bool:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    effective = next(line for line in lines if line.startswith("CapEff"))
    return bool(int(effective.split()[1], 16) >> number & 1)


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
