from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from mopd_core.tracking.progress import RunProgress, clock
from mopd_core.tracking.run_log import run_log
from mopd_core.types import StepRecord

METRICS = {"rollout/success_rate": 0.4375, "train/loss": 0.01234, "time/tokens_per_s": 1234.4, "other": 7.0}
RECORD = StepRecord(3, METRICS)
LINE = "step 3/5: 44% right, loss 0.0123, 1,234 tokens/s, "


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)


def printed(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def ticking(monkeypatch: pytest.MonkeyPatch, *times: float) -> None:
    monkeypatch.setattr("mopd_core.tracking.progress.time.monotonic", iter(times).__next__)


def test_away_from_a_terminal_a_step_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = console(terminal=False)
    ticking(monkeypatch, 100.0, 130.0, 140.0)
    with RunProgress(5, 2, shown) as progress:
        progress.phase("rollouts")
        progress.step_done(RECORD)
        progress.step_done(StepRecord(4, {"train/loss": float("nan")}))
    # Two steps are left at 30 s a step, then one at the mean of 30 s and 10 s.
    assert printed(shown).splitlines() == [LINE + "1:00 left", "step 4/5: 0:20 left"]


def test_on_a_terminal_there_is_a_live_line() -> None:
    shown = console(terminal=True)
    with RunProgress(5, 2, shown) as progress:
        progress.phase("rollouts")
        progress.step_done(RECORD)
        progress.note("a note with [brackets]")
    text = printed(shown)
    assert "rollouts" in text
    assert "3/5" in text
    assert "44% right" in text
    assert "a note with [brackets]\n" in text
    assert "step 3/5:" not in text


def test_warnings_are_printed_while_it_runs_and_not_after() -> None:
    shown = console(terminal=False)
    with RunProgress(5, 0, shown):
        logging.getLogger("some.plugin").warning("held-out accuracy fell to %s", "[0.2]")
        logging.getLogger("some.plugin").info("not shown")
    logging.getLogger("some.plugin").warning("too late")
    assert printed(shown) == "warning: held-out accuracy fell to [0.2]\n"


def test_the_log_keeps_steps_notes_and_warnings(tmp_path: Path) -> None:
    before = logging.getLogger("mopd_core").level
    with run_log(tmp_path / "log.txt"), RunProgress(5, 2, console(terminal=True)) as progress:
        progress.step_done(RECORD)
        progress.note("saved a checkpoint")
        logging.getLogger("other.library").warning("careful")
        logging.getLogger("other.library").info("chatter")
    logging.getLogger("mopd_core").error("after the run")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(": ", 1)[1][:20] for line in lines] == [LINE[:20], "saved a checkpoint", "careful"]
    assert "WARNING other.library: careful" in lines[2]
    assert logging.getLogger("mopd_core").level == before


def test_a_resumed_run_goes_on_in_the_same_log(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with run_log(tmp_path / "log.txt"):
            logging.getLogger("mopd_core.run").info(text)
    assert [line.rsplit(" ", 1)[1] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["first", "second"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
