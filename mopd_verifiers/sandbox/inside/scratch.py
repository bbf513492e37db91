"""The folder of a program's own: filled before a run, emptied after it, whatever the program left there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MOST_FILES, MOST_MB = 4096, 64
"""What a program's folder may hold."""

_BLOCK = 512


def fill(folder: Path, files: Mapping[str, bytes], owner: int) -> None:
    """Write the files, by relative path. Everything belongs to user `owner`."""
    for name, content in files.items():
        path = folder / name
        for parent in reversed(path.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(exist_ok=True)
            os.chown(folder / parent, owner, owner)
        path.write_bytes(content)
        os.chown(path, owner, owner)


def is_too_full(folder: Path) -> bool:
    """Whether there is more in the folder than a program may leave there; or something that cannot be looked at.

    For folders that no file system of their own bounds. Changes nothing, since the program may be at work there.
    """
    pending, files, size = [str(folder)], 0, 0
    try:
        while pending:
            for entry in os.scandir(pending.pop()):
                files += 1
                size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                if files > MOST_FILES or size > MOST_MB << 20:
                    return True
    except (FileNotFoundError, NotADirectoryError):  # it is being changed; there is a next time
        return False
    except OSError:
        return True
    return False


def empty(folder: Path) -> None:
    """Remove all that is in the folder, without following links and however deep it goes. Raises `OSError`.

    Goes down and up by descriptors, one at a time, so that neither depth nor the length of paths matters.
    """
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        names: list[str] = []
        levels = [_remove_files(at)]
        while levels:
            if levels[-1]:
                names.append(levels[-1].pop())
                os.chmod(names[-1], 0o700, dir_fd=at)
                at = _moved(at, names[-1])
                levels.append(_remove_files(at))
                continue
            levels.pop()
            if names:
                at = _moved(at, os.pardir)
                os.rmdir(names.pop(), dir_fd=at)
    finally:
        os.close(at)


def _remove_files(at: int) -> list[str]:
    """Remove what is no folder; return the folders."""
    folders = []
    with os.scandir(at) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=at)
    return folders


def _moved(at: int, name: str) -> int:
    """The neighbouring folder instead of this one."""
    there = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    os.close(at)
    return there
