"""The option `bubblewrap`: a wall around a whole worker, made by the program `bwrap`, beside the layers inside it.

In there are the standard library, this package, the interpreter's packages and the loader's folders, read-only, and no
capability. It is started with the environment of a zygote: its own first process would show the caller's to all.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import mopd_verifiers
from mopd_core.errors import ConfigError

_OPTIONS = ["--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")


def wrapper(shown: Iterable[str], scratch: str) -> list[str]:
    """The words to put before a command. shown: folders to be seen beside the standard library and this package.

    Raises `ConfigError` where bubblewrap is not installed.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise ConfigError(
            "the sandbox's option bubblewrap is on, but there is no program bwrap here; install bubblewrap, or turn "
            "the option off: the other layers do not depend on it"
        )
    own = str(Path(mopd_verifiers.__file__).parent)
    shown = dict.fromkeys([*_SYSTEM, os.path.realpath(sys.executable), *_library(), own, *shown])
    binds = [word for path in shown for word in ("--ro-bind-try", path, path)]
    return [program, *_OPTIONS, *binds, *(["--bind", scratch, scratch] if scratch else [])]


def _library() -> list[str]:
    """The interpreter's own folders and shared libraries."""
    libraries = Path(sys.base_prefix, "lib")
    return [str(Path(os.__file__).parent), *(str(path) for path in libraries.glob("lib*.so*"))]
