"""The data set `table`: rows of files or of a Hugging Face data set as prompts, with some held out for evaluation.

Reading is the business of `files`, one row to one prompt that of `prompts`. A published data set is a few lines over
this in `adapters`; another kind of source is another plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from mopd_core.contexts import RunContext
from mopd_core.data.cells import Cells
from mopd_core.data.files import local_files, read_tables
from mopd_core.data.prompts import PLAIN, Adapter, to_prompt
from mopd_core.data.rows import Row, Table
from mopd_core.data.table_config import DEFAULT_HELD_OUT_SHARE, TableConfig
from mopd_core.errors import ConfigError, DataError
from mopd_core.registry import did_you_mean
from mopd_core.seeds import derive_random
from mopd_core.types import Prompt


def build(config: TableConfig, context: RunContext) -> TableSource:
    """The factory registered as data set `table`, and as those whose columns alone tell them from it."""
    return TableSource(config)


@dataclass(frozen=True, slots=True)
class TablePrompts:
    """The two sets of prompts, each in the order of its rows."""

    train: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]


@dataclass(frozen=True, slots=True)
class TableSource:
    """Reads, maps and checks what its config names, rows the way that its adapter says."""

    config: TableConfig
    adapter: Adapter = PLAIN

    def load(self) -> TablePrompts:
        """Equal configs and files give equal prompts. Raises `DataError` naming the file and the row."""
        config = self.config
        rows = self._read(config.path, config.split, config.limit)
        if config.held_out_path is None and config.held_out_split is None:
            _check_ids(rows)
            return self._split(rows)
        others = self._read_held_out()
        _check_ids([*rows, *others])
        drawn = range(len(others)) if config.held_out is None else self._draw(others, config.held_out)
        return TablePrompts(_prompts(rows), tuple(others[i].prompt for i in drawn))

    def _read(self, path: str, split: str, limit: int | None, prefix: str = "") -> list[_Placed]:
        config = self.config
        wanted = list(config.columns.used().values())
        most = limit if self.adapter.keeps is None else None
        tables = read_tables(path, subset=config.subset, split=split, wanted=wanted, limit=most, prefix=prefix)
        for table in tables:
            _check_columns(table, config)
        rows = self._kept([row for table in tables for row in table.rows], path)[:limit]
        return [_Placed(row.where, to_prompt(row, config, self.adapter)) for row in rows]

    def _kept(self, rows: list[Row], path: str) -> list[Row]:
        keeps = self.adapter.keeps
        if keeps is None:
            return rows
        kept = [row for row in rows if keeps(Cells(row, self.config.columns))]
        if not kept:
            raise DataError(
                f"{path!r} has {len(rows)} rows, and the options of the data set that choose among rows leave none; "
                "allow more, or name another file"
            )
        return kept

    def _read_held_out(self) -> list[_Placed]:
        config = self.config
        if config.held_out_path is not None:
            _check_apart(config.path, config.held_out_path)
        if config.held_out_split is None:
            return self._read(config.held_out_path or "", config.split, None, "held-out/")
        if local_files(config.path) is not None:
            raise ConfigError(
                f"data.held_out_split is for Hugging Face names, and {config.path!r} is local; "
                "name a file with data.held_out_path"
            )
        return self._read(config.path, config.held_out_split, None, "held-out/")

    def _split(self, rows: Sequence[_Placed]) -> TablePrompts:
        wanted = DEFAULT_HELD_OUT_SHARE if self.config.held_out is None else self.config.held_out
        drawn = set(self._draw(rows, wanted))
        if len(drawn) == len(rows):
            raise DataError(
                f"{self.config.path!r} has {len(rows)} rows and data.held_out={wanted} leaves none to train on; "
                "hold out fewer (0 for none), or name another file with data.held_out_path"
            )
        return TablePrompts(
            train=_prompts(row for i, row in enumerate(rows) if i not in drawn),
            held_out=_prompts(row for i, row in enumerate(rows) if i in drawn),
        )

    def _draw(self, rows: Sequence[_Placed], wanted: int | float) -> list[int]:
        """Indices of the held-out rows, ascending; a share above 0 is at least one row."""
        count = max(round(wanted * len(rows)), int(wanted > 0)) if isinstance(wanted, float) else wanted
        if count > len(rows):
            raise DataError(f"data.held_out asks for {count} prompts and there are {len(rows)} rows; ask for fewer")
        return sorted(derive_random(self.config.shuffle_seed, 0, "", "held-out").sample(range(len(rows)), count))


@dataclass(frozen=True, slots=True)
class _Placed:
    where: str
    prompt: Prompt


def _check_apart(path: str, held_out_path: str) -> None:
    shared = _places(path) & _places(held_out_path)
    if shared:
        raise DataError(
            f"data.path and data.held_out_path both hold {min(shared)}: training on the held-out prompts would make "
            "their score mean nothing. Name another file, or leave data.held_out_path out and have data.held_out rows "
            "kept back"
        )


def _places(path: str) -> set[str]:
    """The files that a path names, or the path itself where it is a Hugging Face name."""
    files = local_files(path)
    return {path} if files is None else {str(file.resolve()) for _, file in files}


def _prompts(rows: Iterable[_Placed]) -> tuple[Prompt, ...]:
    return tuple(row.prompt for row in rows)


def _check_columns(table: Table, config: TableConfig) -> None:
    for field, name in config.columns.used().items():
        if name in table.columns:
            continue
        may_be_off = type(None) in get_args(type(config.columns).model_fields[field].annotation)
        off = ", or to null for none" if may_be_off else ""
        raise DataError(
            f"{table.where} has no column {name!r}; columns: {', '.join(table.columns)}."
            f"{did_you_mean(name, table.columns)} Set data.columns.{field} to one of them{off}"
        )


def _check_ids(rows: Iterable[_Placed]) -> None:
    first: dict[str, str] = {}
    for row in rows:
        if row.prompt.id in first:
            raise DataError(
                f"{row.where} has the id {row.prompt.id!r}, and so has {first[row.prompt.id]}; ids are unique over the "
                "training and held-out prompts. Repair them, or leave data.columns.id out and have rows numbered"
            )
        first[row.prompt.id] = row.where
