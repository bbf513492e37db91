"""What a reader gives: tables of rows that know what to call themselves in a message.

A reader of another kind of file returns `Table`s and gets its suffix in `files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mopd_core.types import Json


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `id` is unique among the tables read together; `where` names it in messages; numbers count from 1."""

    id: str
    where: str
    cells: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file or split, and the columns that any of them has."""

    where: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def make_table(label: str, where: str, columns: Iterable[str], cells: Iterable[Mapping[str, Json]]) -> Table:
    """Number the rows: ids are `<label>/000001`, and in messages they are `<where> row 1`."""
    rows = tuple(
        Row(f"{label}/{number:06d}", f"{where} row {number}", values) for number, values in enumerate(cells, start=1)
    )
    return Table(where, tuple(columns), rows)
