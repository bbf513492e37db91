"""What is known of a file's rows once they are judged: one result a row, and their sum."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from mopd_core.types import Status

RowStatus = Status | Literal["error"]


@dataclass(frozen=True, slots=True)
class RowResult:
    """What is known of one row. Its fields are what a result row in JSONL holds.

    line: counted from 1. reward: None for an error. caveats: what weakens the verdict. time_s: the row's own time in
    the verifier, seconds.
    """

    line: int
    id: str | None
    status: RowStatus
    reward: float | None
    feedback: str | None
    caveats: tuple[str, ...]
    time_s: float


@dataclass(slots=True)
class FileSummary:
    """Counts over result rows; feed it with `add`. Its clock starts when it is made."""

    counts: Counter[str] = field(default_factory=Counter)
    caveats: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    _reward_sum: float = 0.0
    _began_s: float = field(default_factory=time.perf_counter)

    def add(self, result: RowResult) -> None:
        """Count one row."""
        self.counts[result.status] += 1
        self.caveats.update(result.caveats)
        self._reward_sum += result.reward or 0.0

    @property
    def rows(self) -> int:
        return self.counts.total()

    @property
    def seconds(self) -> float:
        """Wall time since it was made."""
        return time.perf_counter() - self._began_s

    @property
    def mean_reward(self) -> float | None:
        """Mean over the rows that passed or failed; None where there is none."""
        judged = self.counts["passed"] + self.counts["failed"]
        return self._reward_sum / judged if judged else None
