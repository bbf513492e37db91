"""The command line in process: what it prints, and the code it leaves with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli import main
from mopd_core import __version__
from mopd_core.errors import PluginError
from mopd_core.registry import load_plugins
from mopd_core.verification.verify_file import ROWS_AHEAD


@pytest.fixture
def mopd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command line; returns its exit code, stdout and stderr."""

    def _run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mopd", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return _run


def test_version(mopd):
    assert mopd("--version") == (0, f"mopd {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--generator", "vlm"], "error: no generator is called 'vlm'; installed: "),
        (["run", "-o", "training.lr"], "error: -o 'training.lr' is not path=value"),
        (
            ["run", "-o", "training.learning_rate=1"],
            "error: training.learning_rate is not an option of section 'training'",
        ),
        (["run", "-o", "training.steps=many"], "error: training.steps is 'many'; allowed: integer >= 1"),
        (
            ["run", "-o", "teacher.path=x"],
            "error: teacher.path is an option of teacher 'frozen', not of the chosen 'ema'",
        ),
        (["run", "-o", "rollout.group_size=1"], "error: rollout.group_size is 1, but selector 'contrastive' needs"),
        (["run", "nowhere.yaml"], "error: config file nowhere.yaml cannot be read: No such file or directory"),
        (["run", "--resume"], "error: --resume needs --out DIR"),
        (["run", "--resume", "--out", "nowhere"], "error: 'nowhere' holds no run"),
        (["eval", "--samples", "0"], "error: evaluation.samples is 0; allowed: integer >= 1"),
        (["config", "show", "-o", "seed=-1"], "error: seed is -1; allowed: integer >= 0"),
        (["plugins", "--kind", "verifer"], "error: there is no kind 'verifer' of plugins. Did you mean 'verifier'?"),
        (["plugins", "jds"], "error: no plugin is called 'jds'. Did you mean 'jsd'?"),
        (["verify", "x.jsonl", "--verifier", "maths"], "error: no verifier is called 'maths'; installed: "),
        (
            ["verify", "x.jsonl", "--verifier", "math", "-o", "verifier.tiemout_s=3"],
            "error: verifier.tiemout_s is not an",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(mopd, arguments: list[str], message: str):
    code, out, err = mopd(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["no-command"], ["run", "--no-option"], ["verify"], ["eval", "--samples", "x"]])
def test_usage_errors_leave_with_2(mopd, arguments: list[str]):
    code, _, err = mopd(*arguments)
    assert code == 2
    assert "Usage: mopd" in err
    assert "Traceback" not in err


def test_every_mistake_of_a_config_has_its_line(mopd):
    code, _, err = mopd("config", "show", "-o", "training.steps=x", "-o", "training.lr=y")
    assert code == 2
    assert [line.split(" is ")[0] for line in err.splitlines()] == ["error: training.steps", "error: training.lr"]


def test_config_show_prints_a_config_that_gives_itself(mopd, tmp_path: Path):
    _, shown, _ = mopd("config", "show", "--selector", "none", "-o", "training.lr=3e-5")
    assert "lr: 3.0e-05" in shown
    (tmp_path / "config.yaml").write_text(shown, encoding="utf-8")
    assert mopd("config", "show", tmp_path / "config.yaml") == (0, shown, "")


def test_config_show_as_json(mopd):
    code, out, _ = mopd("config", "show", "--json", "--teacher", "frozen")
    assert code == 0
    assert json.loads(out)["teacher"]["name"] == "frozen"


def test_config_schema_is_the_composed_one(mopd):
    code, out, _ = mopd("config", "schema")
    assert code == 0
    assert {"EmaTeacher", "JsdDivergence", "TrainingConfig"} <= set(json.loads(out)["$defs"])


def test_plugins_lists_name_kind_distribution_version_and_help(mopd):
    code, out, _ = mopd("plugins")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.split()[:2] == ["ema", "teacher"]]
    assert line.split()[2:4] == ["mopd", __version__]
    assert "exponential moving average" in line


def test_plugins_as_json(mopd):
    code, out, _ = mopd("plugins", "--json", "--kind", "divergence")
    assert code == 0
    listed = json.loads(out)
    assert listed["broken"] == []
    assert {row["kind"] for row in listed["plugins"]} == {"divergence"}
    assert "jsd" in {row["name"] for row in listed["plugins"]}


def test_plugins_with_a_name_lists_its_options(mopd):
    code, out, _ = mopd("plugins", "ema")
    assert code == 0
    assert out.startswith("teacher ema (mopd ")
    assert any(line.split()[:1] == ["rate"] for line in out.splitlines())
    (found,) = json.loads(mopd("plugins", "ema", "--json")[1])
    assert {option["path"] for option in found["options"]} == {"rate"}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    registries = load_plugins(disabled=())
    registries.broken.append(PluginError("plugin other-package 1.0 (plugin 'other') cannot be imported: gone"))
    monkeypatch.setattr("mopd_core.registry.installed", lambda: registries)


def test_a_broken_plugin_is_listed_last_and_the_listing_succeeds(mopd, broken: None):
    code, out, _ = mopd("plugins")
    assert code == 0
    assert out.splitlines()[-1] == "broken: plugin other-package 1.0 (plugin 'other') cannot be imported: gone"
    assert len(json.loads(mopd("plugins", "--json")[1])["broken"]) == 1


def test_a_broken_plugin_stops_a_run(mopd, broken: None):
    code, _, err = mopd("run")
    assert (code, err) == (2, "error: plugin other-package 1.0 (plugin 'other') cannot be imported: gone\n")


def test_a_broken_plugin_is_a_problem_to_the_doctor(mopd, broken: None):
    code, out, _ = mopd("doctor")
    assert code == 1
    assert "other-package" in out


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = [
        {"response": r"\boxed{4}", "reference": "4"},
        {"response": r"\boxed{5}", "reference": "4", "id": "wrong"},
        {"response": r"\boxed{5}"},
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_verify_writes_a_verdict_a_row_and_sums_up_on_stderr(mopd, answers: Path, tmp_path: Path):
    verdicts = tmp_path / "verdicts.jsonl"
    code, out, err = mopd("verify", answers, "--verifier", "math", "-o", "verifier.workers=1", "--out", verdicts)
    rows = [json.loads(line) for line in verdicts.read_text(encoding="utf-8").splitlines()]
    assert [(row["line"], row["status"]) for row in rows] == [(1, "passed"), (2, "failed"), (3, "error")]
    assert rows[1]["id"] == "wrong"
    assert (code, out) == (1, "")
    assert err.startswith("3 rows: 1 passed, 1 failed, 1 error; mean reward 0.500; ")


def test_verify_prints_verdicts_without_out_and_its_summary_as_json(mopd, answers: Path):
    _, out, err = mopd("verify", answers, "--verifier", "math", "-o", "verifier.workers=1", "--json")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["passed", "failed", "error"]
    summary = json.loads(err)
    assert {key: summary[key] for key in ("rows", "passed", "failed", "error", "mean_reward")} == {
        "rows": 3,
        "passed": 1,
        "failed": 1,
        "error": 1,
        "mean_reward": 0.5,
    }


def heed_interrupts() -> None:
    """A shell that starts the tests in the background has them ignore SIGINT, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_verify_keeps_what_is_done_when_interrupted(tmp_path: Path):
    rows, verdicts = tmp_path / "rows.jsonl", tmp_path / "verdicts.jsonl"
    row = json.dumps({"response": r"\boxed{x^2+1}", "reference": "1+x^2"}) + "\n"
    rows.write_text(row * 50_000, encoding="utf-8")
    command = [sys.executable, "-m", "cli", "verify", str(rows), "--verifier", "math", "--out", str(verdicts)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_interrupts
    ) as process:
        while not (verdicts.exists() and verdicts.stat().st_size):
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        err = process.communicate()[1]
    done = [json.loads(line) for line in verdicts.read_text(encoding="utf-8").splitlines()]
    assert process.returncode == 130, err
    assert int(err.split()[0]) in (len(done) - 1, len(done))  # The signal may come between a row and its count.
    lines = [row["line"] for row in done]
    assert lines == sorted(set(lines))
    missing = set(range(1, lines[-1])) - set(lines)  # A row at work has a second to end; later ones may have ended.
    assert all(line > lines[-1] - ROWS_AHEAD for line in missing)
    assert 0 < len(done) < 50_000


HANGING = """
import sys, time
import cli
from mopd_core import PluginConfig, registry
from mopd_core.types import Verdict

class Config(PluginConfig):
    'Hangs where the response says so.'

class Verifier:
    def verify(self, items):
        if items[0].response == "hang":
            time.sleep(600)
        return [Verdict(1.0, "passed", None, ("the moon is full",))]

    def close(self):
        time.sleep(0.1)

found = registry.load_plugins(points=[])
found["verifiers"].add("hanging", Config, lambda config, context: Verifier())
registry.installed = lambda: found
sys.argv = ["mopd", "verify", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize("piped", [False, True], ids=["file", "stdin"])
def test_verify_keeps_what_is_done_when_interrupted_while_a_verifier_hangs(tmp_path: Path, piped: bool):
    rows, verdicts = tmp_path / "rows.jsonl", tmp_path / "verdicts.jsonl"
    responses = ["a", "b", "hang", "c", "d"]
    rows.write_text("".join(json.dumps({"response": text, "reference": 0}) + "\n" for text in responses))
    arguments = ["-" if piped else str(rows), "--verifier", "hanging", "--workers", "2", "--out", str(verdicts)]
    with (
        rows.open() as stdin,
        subprocess.Popen(
            [sys.executable, "-c", HANGING, *arguments],
            stdin=stdin,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        ) as process,
    ):
        while not (verdicts.exists() and verdicts.read_text().count("\n") == 2):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.2)
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        err = process.communicate()[1]
    assert time.monotonic() - start < 5
    assert process.returncode == 130
    assert [json.loads(line)["line"] for line in verdicts.read_text().splitlines()] == [1, 2, 4, 5]
    summary, caveat = err.splitlines()
    assert summary.startswith("4 rows: 4 passed; mean reward 1.000; ")
    assert summary.endswith("; interrupted")
    assert caveat == "caveat of 4 rows: the moon is full"


def test_verify_of_a_missing_file_is_one_line_and_touches_no_other(mopd, tmp_path: Path):
    (tmp_path / "verdicts.jsonl").write_text("precious")
    code, out, err = mopd("verify", tmp_path / "none.jsonl", "--verifier", "math", "--out", tmp_path / "verdicts.jsonl")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {tmp_path}/none.jsonl cannot be read: ")
    assert (tmp_path / "verdicts.jsonl").read_text() == "precious"


def test_verify_does_not_write_over_what_it_reads(mopd, answers: Path):
    before = answers.read_text()
    code, _, err = mopd("verify", answers, "--verifier", "math", "--out", answers)
    assert (code, err) == (2, f"error: --out {answers} is the file that is read; name another one\n")
    assert answers.read_text() == before


def test_verify_passes_the_number_of_workers_on_or_says_that_it_is_given_twice(mopd, answers: Path):
    arguments = ["verify", answers, "--verifier", "math", "--workers", "1"]
    assert mopd(*arguments)[0] == 1
    code, out, err = mopd(*arguments, "-o", "verifier.workers=2")
    assert (code, out) == (2, "")
    assert err == "error: --workers 1 and -o verifier.workers=... set the same thing; give one of them\n"


def test_verify_writes_json_whatever_is_in_a_row(mopd, tmp_path: Path):
    rows, verdicts = tmp_path / "rows.jsonl", tmp_path / "verdicts.jsonl"
    row = {"response": "\\boxed{\ud800}", "reference": "4", "id": "\ud800 é"}
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    arguments = ["verify", rows, "--verifier", "math", "--workers", "1"]
    assert mopd(*arguments, "--out", verdicts)[0] == 0
    assert json.loads(verdicts.read_text(encoding="utf-8"))["id"] == row["id"]
    assert json.loads(mopd(*arguments)[1])["status"] == "failed"


def test_verify_adds_up_as_json(mopd, answers: Path):
    summary = json.loads(mopd("verify", answers, "--verifier", "math", "--workers", "1", "--json")[2])
    assert (summary["caveats"], summary["interrupted"]) == ({}, False)
    assert summary["rows_per_s"] == pytest.approx(3 / summary["seconds"])


def test_a_place_that_cannot_be_written_is_one_line(mopd, answers: Path, tmp_path: Path):
    code, _, err = mopd("verify", answers, "--verifier", "math", "--out", tmp_path / "no" / "verdicts.jsonl")
    assert (code, err) == (2, f"error: {tmp_path}/no/verdicts.jsonl: No such file or directory\n")


def test_doctor_reports_every_finding(mopd):
    code, out, _ = mopd("doctor", "--json")
    found = {finding["name"]: finding for finding in json.loads(out)}
    assert {"python", "torch", "vllm", "sglang", "generators", "memory", "cores", "runs folder"} <= set(found)
    assert code == (1 if any(finding["status"] == "problem" for finding in found.values()) else 0)
