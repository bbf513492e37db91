"""One local file to a table: JSON, JSON Lines, CSV, Parquet. A new format gets a reader and a line in `_READERS`.

JSON and CSV are read with the standard library and not with `datasets`, because a reference has to arrive unchanged:
in a column that mixes types, `datasets` 5 turns the text "72" into the number 72 (older ones add null keys to objects),
and its CSV reader turns "007" into 7. The standard library also knows the line of an error. Parquet is typed by itself.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO, TypeAlias, cast

from mopd_core.data.rows import Table, make_table
from mopd_core.errors import DataError
from mopd_core.types import Json

Cells: TypeAlias = Mapping[str, Json]
_Reader: TypeAlias = Callable[[Path, Sequence[str], int | None], tuple[list[str], Sequence[Cells]]]


def suffix_of(path: Path) -> str:
    """What says the format: `.jsonl`, `.json.gz`; in lower case, empty if there is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def is_known(path: Path) -> bool:
    """Whether the name's suffix has a reader."""
    return suffix_of(path) in _READERS


def read_file(path: Path, label: str, wanted: Sequence[str], limit: int | None) -> Table:
    """Read a file's first `limit` rows; cells of other columns than `wanted` may be left out. Raises `DataError`."""
    reader = _READERS.get(suffix_of(path))
    if reader is None:
        raise DataError(f"{path}: files of this kind cannot be read; allowed: {', '.join(_READERS)}")
    try:
        columns, cells = reader(path, wanted, limit)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not cells:
        raise DataError(f"{path} holds no rows")
    return make_table(label, str(path), columns, cells)


def _read_json(path: Path, wanted: Sequence[str], limit: int | None) -> tuple[list[str], list[Cells]]:
    with _open_text(path) as stream:
        first = next((line.lstrip()[0] for line in stream if line.strip()), "")
        stream.seek(0)
        numbered = _array_items(path, stream) if first == "[" else _lines(path, stream)
        rows = [_as_object(value, where) for where, value in islice(numbered, limit)]
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def _open_text(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def _lines(path: Path, stream: TextIO) -> Iterator[tuple[str, Json]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            where = f"{path} line {number}"
            yield where, _parse(line, where)


def _array_items(path: Path, stream: TextIO) -> Iterator[tuple[str, Json]]:
    for number, value in enumerate(_parse(stream.read(), str(path)), start=1):
        yield f"{path} item {number}", value


def _parse(text: str, where: str) -> Json:
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        line = f" line {error.lineno}" if error.lineno > 1 else ""
        raise DataError(f"{where}{line}: malformed JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise DataError(f"{where}: malformed JSON: {error}") from error


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _as_object(value: Json, where: str) -> Cells:
    if not isinstance(value, dict):
        raise DataError(f'{where}: a row is an object such as {{"prompt": ...}}, and this is {type(value).__name__}')
    return value


def _read_csv(path: Path, wanted: Sequence[str], limit: int | None) -> tuple[list[str], Sequence[Cells]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            columns = list(reader.fieldnames or ())
            rows = list(islice(reader, limit))
        except csv.Error as error:
            raise DataError(f"{path} after line {reader.line_num}: malformed CSV: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) > len(columns):
            raise DataError(
                f"{path} row {number}: more cells than the header's {len(columns)}; quote cells with commas"
            )
    return columns, rows


def _read_parquet(path: Path, wanted: Sequence[str], limit: int | None) -> tuple[list[str], Sequence[Cells]]:
    from mopd_core.data.hub import read_parquet

    return read_parquet(path, wanted, limit)


_READERS: dict[str, _Reader] = {
    ".json": _read_json,
    ".jsonl": _read_json,
    ".json.gz": _read_json,
    ".jsonl.gz": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
