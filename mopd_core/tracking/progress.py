"""What a run shows while it works: a live line on a terminal, one plain line a step elsewhere, and the same in the log.

Everything goes to stderr, so that a command's result has stdout to itself. A metric is shown by a line in `SHOWN`.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from mopd_core.types import StepRecord

SHOWN = {
    "rollout/success_rate": "{:.0%} right",
    "train/loss": "loss {:.4f}",
    "time/tokens_per_s": "{:,.0f} tokens/s",
}
"""Metrics that a step's line shows, and how; one that a step does not have is left out."""

STEPS_FOR_TIME_LEFT = 10

_LOG = logging.getLogger("mopd_core.run")


class RunProgress:
    """Shows steps `start_step` + 1 to `total_steps`. Warnings that are logged meanwhile appear above the live line."""

    def __init__(self, total_steps: int, start_step: int, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._total = total_steps
        self._step = start_step
        self._ends: deque[float] = deque(maxlen=STEPS_FOR_TIME_LEFT + 1)
        self._handler = _AboveTheLine(self.console)
        self._bar = Progress(
            TextColumn("[bold]step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[metrics]}", markup=False),
            TextColumn("{task.fields[phase]}", style="dim", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("run", total=total_steps, completed=start_step, metrics="", phase="")

    def __enter__(self) -> Self:
        self._ends.append(time.monotonic())
        logging.getLogger().addHandler(self._handler)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        logging.getLogger().removeHandler(self._handler)

    def phase(self, name: str) -> None:
        """Say what the run is doing now, such as `rollouts`."""
        self._bar.update(self._task, phase=name)

    def step_done(self, record: StepRecord) -> None:
        """Show and log a finished step."""
        self._step = record.step
        self._ends.append(time.monotonic())
        shown = _metrics_text(record)
        line = ", ".join(part for part in (shown, self._time_left()) if part)
        self._bar.update(self._task, completed=record.step, metrics=line)
        message = f"step {record.step}/{self._total}: {line}"
        _LOG.info(message)
        if not self.console.is_terminal:
            self._print(message)

    def note(self, text: str) -> None:
        """Print a line above the live one, and log it."""
        _LOG.info(text)
        self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def _time_left(self) -> str:
        """At the mean pace of the last steps."""
        pace_s = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        return f"{clock((self._total - self._step) * pace_s)} left"


class _AboveTheLine(logging.Handler):
    """Prints warnings through the console that draws the live line, so that neither breaks the other."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(Text(f"{record.levelname.lower()}: {record.getMessage()}", style="yellow"), soft_wrap=True)


def clock(seconds: float) -> str:
    """A duration as h:mm:ss, or m:ss below an hour."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"


def _metrics_text(record: StepRecord) -> str:
    values = ((wording, record.metrics.get(name, math.nan)) for name, wording in SHOWN.items())
    return ", ".join(wording.format(value) for wording, value in values if math.isfinite(value))
