"""The rows of a JSONL file as items to judge: what `mopd verify` reads, from a file, a gzipped one or stdin.

A row holds `response` and `reference`, and may hold `prompt` (text, or chat messages), `id` and `verifier` (the name of
another one); other columns are left alone. A row that cannot be used is a row with a problem, and the rest goes on.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from mopd_core.errors import DataError
from mopd_core.types import Message, VerifyItem

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Row:
    """One row, line counted from 1: an item and who judges it (None: the default), or else what the problem is."""

    line: int
    id: str | None = None
    item: VerifyItem | None = None
    verifier: str | None = None
    problem: str | None = None


class RowFile:
    """The rows of a file, opened at once. Raises `DataError`, now or while reading, where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        try:
            self._raw: IO[bytes] = sys.stdin.buffer if path == STDIN else self._stack.enter_context(path.open("rb"))
            self._size = 0 if path == STDIN else path.stat().st_size
        except OSError as error:
            raise self._unreadable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def fraction(self) -> float | None:
        """How much of its bytes has been read (of a gzipped file, compressed ones), in [0, 1]; None where unknown."""
        return self._raw.tell() / self._size if self._size else None

    def __iter__(self) -> Iterator[Row]:
        """Every row; blank lines are skipped."""
        try:
            for number, line in enumerate(self._lines(), start=1):
                if line.strip():
                    yield parse_row(number, line)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from error

    def _lines(self) -> Iterator[bytes]:
        if self._path.suffix != ".gz":
            yield from iter(self._raw.readline, b"")
            return
        with gzip.open(self._raw) as unpacked:
            yield from unpacked

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(f"{self._path} cannot be read: {error}. It has to be a JSONL file, plain or gzipped (.gz)")


def parse_row(line: int, text: bytes) -> Row:
    """The row that a line holds."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Row(line, problem=f"not JSON: {error}")
    if not isinstance(values, dict):
        return Row(line, problem=f"a row has to be a JSON object; this is a {type(values).__name__}")
    row_id = str(values["id"]) if values.get("id") is not None else None
    if problem := _problem(values):
        return Row(line, row_id, problem=problem)
    return Row(line, row_id, _item(line, row_id, values), values.get("verifier"))


def _problem(values: dict[str, Any]) -> str | None:
    given = ", ".join(map(repr, values)) or "none"
    for column in ("response", "reference"):
        if column not in values:
            return f"the row has no {column!r}; its columns: {given}"
    if not isinstance(values["response"], str):
        return f"'response' has to be text; this is a {type(values['response']).__name__}"
    if not isinstance(values.get("verifier"), str | None):
        return f"'verifier' has to be a name; this is a {type(values['verifier']).__name__}"
    if not (isinstance(values.get("prompt"), str | None) or _are_messages(values["prompt"])):
        return "'prompt' has to be text or a list of messages with 'role' and 'content'"
    return None


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)
        for message in value
    )


def _item(line: int, row_id: str | None, values: dict[str, Any]) -> VerifyItem:
    prompt = values.get("prompt")
    if isinstance(prompt, str):
        messages: tuple[Message, ...] = (Message(role="user", content=prompt),)
    else:
        messages = tuple(cast("list[Message]", prompt or []))
    return VerifyItem(values["response"], values["reference"], row_id or f"line {line}", messages)
