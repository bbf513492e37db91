"""Verdicts for the rows of a JSONL file (also gzipped), streamed in batches: what `mopd verify` prints.

A row holds `response` and `reference`, and may hold `prompt` (text, or chat messages) and `id`; other columns are left
alone. A row that cannot be judged becomes a result with status `error`, and the rest goes on.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

from mopd_core.errors import DataError
from mopd_core.interfaces import Verifier
from mopd_core.types import Message, Status, VerifyItem
from mopd_core.verification.router import verify_checked

RowStatus = Status | Literal["error"]
Progress = Callable[[int, float], None]
"""Called after a batch with the rows done so far and the fraction of the file that was read, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """What is known of one row. Its fields are what a result row in JSONL holds.

    line: counted from 1. reward: None for an error. time_s: the row's share of its batch's wall time.
    """

    line: int
    id: str | None
    status: RowStatus
    reward: float | None
    feedback: str | None
    time_s: float


@dataclass(slots=True)
class FileSummary:
    """Counts over result rows; feed it with `add`."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    _reward_sum: float = 0.0

    def add(self, result: RowResult) -> None:
        """Count one row."""
        self.counts[result.status] += 1
        self.seconds += result.time_s
        self._reward_sum += result.reward or 0.0

    @property
    def rows(self) -> int:
        return self.counts.total()

    @property
    def mean_reward(self) -> float | None:
        """Mean over the rows that passed or failed; None where there is none."""
        judged = self.counts["passed"] + self.counts["failed"]
        return self._reward_sum / judged if judged else None


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    id: str | None
    item: VerifyItem | None
    problem: str | None = None


def verify_file(
    path: Path, name: str, verifier: Verifier, *, batch_size: int = 64, on_progress: Progress | None = None
) -> Iterator[RowResult]:
    """Yield one result a row, in the file's order; blank lines are skipped.

    Raises `DataError` where the file cannot be read, and `VerifierError` (with the verifier's `name`) where the
    verifier fails as a whole; the results yielded until then stand.
    """
    done = 0
    for batch, fraction in _batches(path, batch_size):
        for result in _verify_batch(name, verifier, batch):
            done += 1
            yield result
        if on_progress is not None:
            on_progress(done, fraction)


def _verify_batch(name: str, verifier: Verifier, rows: Sequence[_Row]) -> list[RowResult]:
    """Results for some rows. A reference that cannot be used spoils a batch, so its rows are then judged one by one."""
    items = [row.item for row in rows if row.item is not None]
    start = time.perf_counter()
    try:
        verdicts = iter(verify_checked(name, verifier, items) if items else [])
    except DataError as error:
        if len(rows) > 1:
            return [result for row in rows for result in _verify_batch(name, verifier, [row])]
        return [_error(rows[0], str(error), time.perf_counter() - start)]
    share = (time.perf_counter() - start) / max(1, len(items))
    results = []
    for row in rows:
        if row.item is None:
            results.append(_error(row, row.problem, 0.0))
        else:
            verdict = next(verdicts)
            results.append(RowResult(row.line, row.id, verdict.status, verdict.reward, verdict.feedback, share))
    return results


def _error(row: _Row, problem: str | None, time_s: float) -> RowResult:
    return RowResult(row.line, row.id, "error", None, f"line {row.line}: {problem}", time_s)


def _batches(path: Path, size: int) -> Iterator[tuple[list[_Row], float]]:
    """Rows in batches, each with the fraction of the file's bytes that was read (compressed bytes of a gzipped one)."""
    batch: list[_Row] = []
    try:
        total = path.stat().st_size
        with path.open("rb") as raw:
            for number, line in enumerate(_lines(path, raw), start=1):
                if not line.strip():
                    continue
                batch.append(_parse_row(number, line))
                if len(batch) == size:
                    yield batch, raw.tell() / total
                    batch = []
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. It has to be a JSONL file, plain or gzipped (.gz)") from error
    if batch:
        yield batch, 1.0


def _lines(path: Path, raw: IO[bytes]) -> Iterator[bytes]:
    if path.suffix != ".gz":
        yield from iter(raw.readline, b"")
        return
    with gzip.open(raw) as unpacked:
        yield from unpacked


def _parse_row(line: int, text: bytes) -> _Row:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _Row(line, None, None, f"not JSON: {error}")
    if not isinstance(values, dict):
        return _Row(line, None, None, f"a row has to be a JSON object; this is a {type(values).__name__}")
    row_id = str(values["id"]) if values.get("id") is not None else None
    if problem := _problem(values):
        return _Row(line, row_id, None, problem)
    return _Row(line, row_id, _item(line, row_id, values))


def _problem(values: dict[str, Any]) -> str | None:
    given = ", ".join(map(repr, values)) or "none"
    for column in ("response", "reference"):
        if column not in values:
            return f"the row has no {column!r}; its columns: {given}"
    if not isinstance(values["response"], str):
        return f"'response' has to be text; this is a {type(values['response']).__name__}"
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
