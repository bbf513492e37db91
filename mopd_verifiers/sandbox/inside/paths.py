"""Which files a program may see: the standard library, the packages of its interpreter, and what the loader needs.

A new place that honest programs need goes into `_PLACES`, with a reason why it can hold no secret.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mopd_verifiers.sandbox.inside import landlock

_PLACES = (
    (Path("/usr/share/zoneinfo"), landlock.READ),
    (Path("/etc/localtime"), landlock.READ),
    (Path("/etc/ld.so.cache"), landlock.READ),
    (Path("/dev/urandom"), landlock.READ),
    (Path("/dev/null"), landlock.READ_WRITE),
)
_LOADER_FOLDERS = ("/lib64", "/usr/lib64", *(f"{root}/{name}" for root in ("/lib", "/usr/lib") for name in (
    "x86_64-linux-gnu", "aarch64-linux-gnu")))  # fmt: skip
_LOOSE_LIBRARIES = ("/lib", "/usr/lib", "/usr/local/lib")
_OTHERS = frozenset({"site-packages", "dist-packages"})


def rules(library: Iterable[str], packages: Iterable[str], scratch: str) -> list[tuple[Path, int]]:
    """Paths and the rights below them. library: folders and archives of the standard library; packages: by name."""
    found = [*_PLACES, *_libraries(), *_library(library)]
    found += [(path, landlock.READ) for name in packages for path in package_paths(name)]
    return [*found, (Path(scratch), landlock.OWN)] if scratch else found


def package_paths(name: str) -> Iterator[Path]:
    """A loaded package's folders (or its file), and the folder of shared libraries that wheels put beside it."""
    module = sys.modules[name]
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    yield from folders or [Path(module.__file__ or "")]
    yield from (folder.with_name(f"{folder.name}.libs") for folder in folders)


def _library(entries: Iterable[str]) -> Iterator[tuple[Path, int]]:
    """Its folders can be listed, since importing lists them; all they hold but other packages can be read."""
    for entry in map(Path, entries):
        if entry.is_dir():
            yield entry, landlock.LIST
            yield from ((path, landlock.READ) for path in entry.iterdir() if path.name not in _OTHERS)
        else:
            yield entry, landlock.READ


def _libraries() -> Iterator[tuple[Path, int]]:
    """Where the loader finds shared libraries, for parts of the standard library that load them late."""
    yield from ((Path(folder), landlock.READ) for folder in _LOADER_FOLDERS)
    for folder in (*map(Path, _LOOSE_LIBRARIES), Path(sys.base_prefix, "lib")):
        yield from ((path, landlock.READ) for path in folder.glob("lib*.so*"))
