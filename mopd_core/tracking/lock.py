"""One trainer a folder: an advisory lock that the system releases when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mopd_core.errors import ConfigError

LOCK_NAME = ".lock"


class FolderLock:
    """Holds `folder`. Raises `ConfigError` if another process does.

    A record lock (`lockf`), not `flock`: it belongs to this process alone, so a forked worker that outlives a killed
    trainer does not keep the folder locked, and it holds over NFS.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            os.close(self._descriptor)
            raise ConfigError(
                f"another process is training in {str(folder)!r}; wait for it to end, or choose another --out"
            ) from error

    def release(self) -> None:
        """Let go. Calling it twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
