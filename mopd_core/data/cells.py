"""One row's cells, read with a complaint that names the file, the row and the column.

What a cell may hold is decided where it is used; how that is said is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from mopd_core.data.rows import Row
from mopd_core.data.table_config import Columns
from mopd_core.errors import DataError
from mopd_core.types import Json


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a row by the fields of its data set's columns (`prompt`, `reference`, ...), not by the file's names.

    All methods raise `DataError` for a cell that cannot be used.
    """

    row: Row
    columns: Columns

    def value(self, field: str) -> Json:
        """Whatever the cell holds; None for nothing, or for a column that is off."""
        name = getattr(self.columns, field)
        return None if name is None else self.row.cells.get(name)

    def text(self, field: str) -> str:
        """Text, perhaps empty."""
        value = self.value(field)
        if not isinstance(value, str):
            self.refuse(field, f"is {shown(value)}; allowed: text")
        return value

    def filled(self, field: str) -> str:
        """Text that is not empty."""
        value = self.value(field)
        if not isinstance(value, str) or not value.strip():
            self.refuse(field, f"is {shown(value)}; allowed: text that is not empty")
        return value

    def optional_text(self, field: str) -> str | None:
        """Text, or None for an empty cell or a column that is off."""
        value = self.value(field)
        if value is not None and not isinstance(value, str):
            self.refuse(field, f"is {shown(value)}; allowed: text, or nothing")
        return value or None

    def refuse(self, field: str, what: str) -> NoReturn:
        """Raise `DataError`: `<file> row 3: column 'answer' <what>`."""
        raise DataError(f"{self.row.where}: column {getattr(self.columns, field)!r} {what}")


def shown(value: object) -> str:
    """A value in a message: what it is, and not more than a glimpse of it."""
    if value is None:
        return "missing"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
