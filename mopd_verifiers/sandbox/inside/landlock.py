"""The layer `landlock`: which files a program may open. Everything that the kernel's version can confine is confined.

A ruleset is built once and put on by each child. Landlock does not govern chmod, chown, utime and stat: the layer
`seccomp` refuses the first three.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from mopd_verifiers.sandbox.inside import kernel

_EXECUTE, _WRITE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST = (1 << 13) - 1
_OF_FILES = _EXECUTE | _WRITE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_BIND_AND_CONNECT, _SOCKETS_AND_SIGNALS = 0b11, 0b11

READ = _READ_FILE | _READ_DIR
"""Open files for reading, and list folders."""
LIST = _READ_DIR
"""List folders, their files unread."""
READ_WRITE = READ | _WRITE
"""Open existing files for reading and writing."""
OWN = READ_WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
"""Do with a folder as one likes, but for devices, sockets and programs."""


def version() -> int:
    """The kernel's version of Landlock. Raises `OSError` where there is none or it is turned off."""
    return kernel.syscall("landlock_create_ruleset", None, 0, 1)


def build(rules: Iterable[tuple[Path, int]]) -> int:
    """A ruleset, as a descriptor, that allows the rights below the paths. Paths that do not exist are passed over."""
    handled = _handled(version())
    attributes = struct.pack("QQQ", *handled)
    size = {0: 8, 1: 16, 2: 24}[bool(handled[1]) + bool(handled[2])]
    ruleset = kernel.syscall("landlock_create_ruleset", ctypes.create_string_buffer(attributes, 24), size, 0)
    for path, rights in rules:
        _allow(ruleset, path, rights & handled[0])
    return ruleset


def apply(ruleset: int) -> None:
    """Put the ruleset on this process, for good. Needs `no_new_privs`. Raises `OSError`."""
    kernel.syscall("landlock_restrict_self", ruleset, 0)


def _handled(abi: int) -> tuple[int, int, int]:
    """Rights on files, on TCP ports, and scopes, that this version knows."""
    files = _FIRST | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEV if abi >= 5 else 0)
    return files, _BIND_AND_CONNECT if abi >= 4 else 0, _SOCKETS_AND_SIGNALS if abi >= 6 else 0


def _allow(ruleset: int, path: Path, rights: int) -> None:
    beneath = 1
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = rights if path.is_dir() else rights & _OF_FILES
        attributes = struct.pack("=Qi", allowed, folder)
        kernel.syscall("landlock_add_rule", ruleset, beneath, ctypes.create_string_buffer(attributes, 12), 0)
    finally:
        os.close(folder)
