"""From `data.path` to tables: a local file, a glob, or else a Hugging Face name.

A new place for data to come from is a branch of `read_tables`; a new file format goes into `formats`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mopd_core.data.formats import is_known, read_file, suffix_of
from mopd_core.data.rows import Table
from mopd_core.errors import ConfigError, DataError
from mopd_core.registry import did_you_mean

_GLOB = re.compile(r"[*?\[]")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def read_tables(
    path: str, *, subset: str | None, split: str, wanted: Sequence[str], limit: int | None, prefix: str = ""
) -> list[Table]:
    """Read the first `limit` rows of all files in order, or of a Hugging Face split.

    subset, split: used for a Hugging Face name only. wanted: the columns needed. prefix: put before every row's id.
    Raises `DataError` for what is missing, empty or malformed, `ConfigError` for a subset of a local file.
    """
    files = local_files(path)
    if files is None:
        if is_known(Path(path)) or not _HUB_NAME.fullmatch(path):
            raise _missing(path)
        from mopd_core.data.hub import read_hub

        return [read_hub(path, subset, split, prefix + path.split("/")[1], wanted, limit)]
    if subset is not None:
        raise ConfigError(f"data.subset is for Hugging Face names, and {path!r} is local; remove data.subset={subset}")
    return _read_files(files, wanted, limit, prefix)


def _read_files(
    files: Sequence[tuple[str, Path]], wanted: Sequence[str], limit: int | None, prefix: str
) -> list[Table]:
    tables: list[Table] = []
    left = limit
    for label, file in files:
        if left == 0:
            break
        tables.append(read_file(file, prefix + label, wanted, left))
        left = None if left is None else left - len(tables[-1].rows)
    return tables


def local_files(path: str) -> list[tuple[str, Path]] | None:
    """The file, or a glob's files in order, each with the label that its rows' ids start with; None for neither.

    Raises `DataError` for a folder, which may well hold the test set too, and for a glob that nothing matches.
    """
    given = Path(path).expanduser()
    if given.is_file():
        return [(_label(given, given.parent), given)]
    if given.is_dir():
        raise DataError(
            f"{path!r} is a folder; name a file in it, or several with a glob such as {path.rstrip('/')}/*.jsonl"
        )
    if not _GLOB.search(path):
        return None
    root, pattern = _split_glob(given)
    found = sorted(file for file in root.glob(pattern) if file.is_file())
    if not found:
        raise DataError(f"no file matches {path!r}; paths start at {Path.cwd()}")
    return [(_label(file, root), file) for file in found]


def _label(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()[: -len(suffix_of(file)) or None]


def _split_glob(path: Path) -> tuple[Path, str]:
    fixed = next(index for index, part in enumerate(path.parts) if _GLOB.search(part))
    return Path(*path.parts[:fixed]), str(Path(*path.parts[fixed:]))


def _missing(path: str) -> DataError:
    given = Path(path).expanduser()
    if not given.parent.is_dir():
        return DataError(f"no file {path!r}: {str(given.parent)!r} does not exist; paths start at {Path.cwd()}")
    siblings = [file.name for file in given.parent.iterdir()]
    return DataError(f"no file {path!r}.{did_you_mean(given.name, siblings)} Paths start at {Path.cwd()}")
