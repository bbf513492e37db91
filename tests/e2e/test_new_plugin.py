"""`mopd new-plugin`, kind by kind, as its author goes on: made, installed, tested, listed, and used in a run.

One environment holds all of them, one pytest runs their tests, and one run of two steps uses every one.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KINDS = ("verifier", "generator", "selector", "divergence", "teacher", "objective", "tracker", "dataset")
NEXT = "Next:\n\n    cd mopd-made-{kind}\n    python -m pip install -e '.[test]'\n    python -m pytest\n"


@dataclass(frozen=True)
class Made:
    """An environment in which a plugin of every kind is installed, and their folders."""

    environment: Any
    folders: dict[str, Path]
    said: dict[str, str]


@pytest.fixture(scope="module")
def made(built: Path, scratch: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Made:
    environment, home = scratch(), tmp_path_factory.mktemp("plugins")
    environment.install(*built.glob("mopd-*.whl"))
    mopd = environment.command("mopd", home)
    said = {kind: mopd("new-plugin", f"mopd-made-{kind}", "--kind", kind).ok().out for kind in KINDS}
    folders = {kind: home / f"mopd-made-{kind}" for kind in KINDS}
    environment.install(*folders.values())
    return Made(environment, folders, said)


def test_the_files_are_listed_and_what_comes_next(made: Made):
    for kind, said in made.said.items():
        listed, _, after = said.partition("\nNext:")
        written = {path for path in made.folders[kind].rglob("*") if path.is_file()}
        assert {made.folders[kind].parent / line for line in listed.splitlines()} == written
        assert f"Next:{after}" == NEXT.format(kind=kind)


def test_their_own_tests_pass_as_they_stand(made: Made, command: Any, tmp_path: Path):
    folders = [folder / "tests" for folder in made.folders.values()]
    options = ("-c", "/dev/null", "--import-mode=importlib", "-p", "no:cacheprovider", "-q", "--color=no")
    done = command([made.environment.python, "-m", "pytest"], tmp_path)(*options, "--rootdir", tmp_path, *folders)
    assert done.code == 0, done.out + done.err
    # The generator opts out of streaming, and gives a reason; and it has no `score`, which is optional.
    assert " passed, 2 skipped in " in done.out


def test_they_are_listed_with_their_distributions(made: Made, tmp_path: Path):
    listed = json.loads(made.environment.command("mopd", tmp_path)("plugins", "--json").ok().out)
    assert listed["broken"] == []
    found = {row["kind"]: (row["name"], row["version"]) for row in listed["plugins"] if row["distribution"] != "mopd"}
    assert found == {kind: (f"made-{kind}", "0.1.0") for kind in KINDS}


def test_a_run_of_the_bundled_default_uses_them_all(made: Made, tmp_path: Path):
    choices = [part for kind in KINDS if kind not in ("tracker", "dataset") for part in (f"--{kind}", f"made-{kind}")]
    own = {"data__name": "made-dataset", "data__train": None, "tracking__trackers": "[made-tracker]"}
    options = {**own, "verifier__workers": None, "rollout__sampling__max_tokens": 48, "teacher__every": 1}
    mopd = made.environment.command("mopd", tmp_path)
    mopd.run(*choices, "--out", "here", **options).ok()

    config = json.loads((tmp_path / "here" / "config.json").read_text())
    sections = {kind: "data" if kind == "dataset" else kind for kind in KINDS if kind != "tracker"}
    assert {kind: config[section]["name"] for kind, section in sections.items()} == {
        kind: f"made-{kind}" for kind in sections
    }
    assert json.loads((tmp_path / "here" / "summary.json").read_text())["steps"] == 2
    metrics = [json.loads(line) for line in (tmp_path / "here" / "metrics.jsonl").read_text().splitlines()]
    assert all(step["context/share"] > 0 and step["teacher/divergence"] > 0 for step in metrics)
    with (tmp_path / "here" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["step"] for row in rows} == {"1", "2"}
    assert {(row["step"], float(row["value"])) for row in rows if row["metric"] == "train/loss"} == {
        (str(step), metrics[step - 1]["train/loss"]) for step in (1, 2)
    }


def test_a_mistake_is_one_line_and_writes_nothing(mopd: Any, tmp_path: Path):
    (tmp_path / "mopd-nearest").mkdir()
    done = mopd("new-plugin", "mopd-nearest", "--kind", "selector")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: mopd-nearest exists already; name another place with --folder DIR, or remove it\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["mopd-nearest"]
