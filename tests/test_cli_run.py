"""`mopd run` and `mopd eval` around a scripted loop: what is passed on, what is printed, how the command ends."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cli import main
from mopd_core.errors import DataError, TrainingError

SUMMARY: dict[str, Any] = {
    "finished": True,
    "stopped_by": None,
    "before": {"mean@8": 0.41, "pass@8": 0.83},
    "after": {"mean@8": 0.8, "pass@8": 0.9},
    "best": {"step": 50, "mean@8": 0.82},
    "steps": 60,
    "rollouts": 3840,
    "tokens": 100_000,
    "seconds": 75.2,
}


class ScriptedLoop(ModuleType):
    """Stands in for `mopd_core.training.run`: remembers its calls, and ends as it is told."""

    def __init__(self) -> None:
        super().__init__("mopd_core.training.run")
        self.calls: list[tuple[Any, ...]] = []
        self.ending: BaseException | dict[str, Any] = SUMMARY
        self.measured: dict[str, Any] = {"mean@2": 0.25, "pass@2": 0.5, "prompts": 10, "unknown": 0, "tokens": 90}

    def train(self, config: Any, registries: Any, folder: Path, resume: bool, console: Any) -> dict[str, Any]:
        self.calls.append((config, folder, resume))
        if not isinstance(self.ending, DataError):  # That one is met before a run starts.
            registries.manager.hook.mopd_run_started(folder=folder, config=config)
        return self._end()

    def evaluate(self, config: Any, registries: Any) -> dict[str, Any]:
        self.calls.append((config,))
        self._end()
        return self.measured

    def _end(self) -> dict[str, Any]:
        if isinstance(self.ending, BaseException):
            raise self.ending
        return self.ending


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedLoop:
    scripted = ScriptedLoop()
    monkeypatch.setitem(sys.modules, "mopd_core.training.run", scripted)
    monkeypatch.chdir(tmp_path)
    return scripted


def leave(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mopd", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_run_passes_the_config_on_and_prints_before_and_after(loop, monkeypatch, capsys):
    assert leave(monkeypatch, "run", "--selector", "none", "-o", "seed=3", "--out", "here") == 0
    ((config, folder, resume),) = loop.calls
    assert (config.selector.name, config.seed, folder, resume) == ("none", 3, Path("here"), False)
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert ["mean@8", "41.0%", "80.0%", "+39.0"] in rows
    assert ["pass@8", "83.0%", "90.0%", "+7.0"] in rows
    assert "60 steps, 3840 rollouts, 100000 tokens in 75 s; everything is in here" in out
    assert err == ""


def test_run_without_out_makes_a_folder_name_from_the_time(loop, monkeypatch):
    leave(monkeypatch, "run")
    assert loop.calls[0][1].parent == Path("runs")


def test_run_tells_who_brings_their_own_data_whose_settings_apply(loop, monkeypatch, capsys):
    assert leave(monkeypatch, "run", "-o", "data.path=mine.jsonl") == 0
    assert loop.calls[0][0].data.path == "mine.jsonl"
    assert capsys.readouterr().err.startswith("note: no config file: settings that are not given are the bundled ")
    assert leave(monkeypatch, "run") == 0
    assert capsys.readouterr().err == ""


def test_a_mistake_in_the_data_is_one_line(loop, monkeypatch, capsys):
    loop.ending = DataError("mine.jsonl row 2: no prompt")
    assert leave(monkeypatch, "run", "-o", "data.path=mine.jsonl") == 2
    assert capsys.readouterr().err == "error: mine.jsonl row 2: no prompt\n"


def test_a_folder_that_cannot_be_made_is_one_line_and_exit_code_2(loop, monkeypatch, capsys):
    Path("file").touch()
    loop.ending = NotADirectoryError(errno.ENOTDIR, "Not a directory", "file/run")
    assert leave(monkeypatch, "run", "--out", "file/run") == 2
    assert capsys.readouterr().err == "error: file/run: Not a directory\n"


def test_a_full_disk_is_not_the_users_mistake(loop, monkeypatch, capsys):
    loop.ending = OSError(errno.ENOSPC, "No space left on device", "run/metrics.jsonl")
    assert leave(monkeypatch, "run") == 1
    assert capsys.readouterr().err == "error: run/metrics.jsonl: No space left on device\n"


def test_nothing_held_out_is_nothing_to_evaluate(loop, monkeypatch, capsys):
    loop.measured = {"prompts": 0, "unknown": 0, "tokens": 0}
    assert leave(monkeypatch, "eval") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("error: there are no held-out prompts to measure on; set data.held_out to how many, or a share\n")


def test_resume_goes_on_with_the_stored_config_and_refuses_another(loop, monkeypatch, capsys):
    leave(monkeypatch, "run", "-o", "seed=7", "--out", "here")
    Path("here").mkdir()
    Path("here/config.json").write_text(loop.calls[0][0].model_dump_json(), encoding="utf-8")
    assert leave(monkeypatch, "run", "--resume", "--out", "here", "-o", "training.steps=90") == 0
    config, _, resume = loop.calls[1]
    assert (config.seed, config.training.steps, resume) == (7, 90, True)
    capsys.readouterr()
    assert leave(monkeypatch, "run", "--resume", "--out", "here", "-o", "seed=8") == 2
    assert "seed 7 -> 8" in capsys.readouterr().err
    assert len(loop.calls) == 2


def test_a_run_that_was_stopped_says_how_to_go_on(loop, monkeypatch, capsys):
    loop.ending = {**SUMMARY, "finished": False, "stopped_by": "interrupt"}
    assert leave(monkeypatch, "run", "--out", "here") == 130
    assert "mopd run --resume --out here" in capsys.readouterr().out


def test_a_failed_run_leaves_with_1_and_no_traceback(loop, monkeypatch, capsys):
    loop.ending = TrainingError("three steps in a row were not finite")
    assert leave(monkeypatch, "run") == 1
    assert capsys.readouterr().err == "error: three steps in a row were not finite\n"


def test_an_interrupt_leaves_with_130(loop, monkeypatch, capsys):
    loop.ending = KeyboardInterrupt()
    assert leave(monkeypatch, "run") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_so_does_the_error_of_a_lock_that_an_interrupt_came_upon(loop, monkeypatch, capsys):
    loop.ending = RuntimeError("cannot release un-acquired lock")
    loop.ending.__context__ = KeyboardInterrupt()
    assert leave(monkeypatch, "run") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_not_hidden(loop, monkeypatch):
    loop.ending = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        leave_with_bug(monkeypatch)


def leave_with_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["mopd", "run"])
    main()


def test_eval_takes_the_model_and_the_samples(loop, monkeypatch, capsys):
    assert leave(monkeypatch, "eval", "--model", "12", "--samples", "2") == 0
    ((config,),) = loop.calls
    assert (config.model.path, config.evaluation.samples) == ("12", 2)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mean@2", "25.0%"] in rows
    assert ["pass@2", "50.0%"] in rows


def test_eval_as_json(loop, monkeypatch, capsys):
    assert leave(monkeypatch, "eval", "--json") == 0
    assert '"mean@2": 0.25' in capsys.readouterr().out
