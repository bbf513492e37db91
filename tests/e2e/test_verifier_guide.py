"""The guide in docs/verifiers.md, "Write and publish a verifier in ten minutes", followed from an empty folder.

A block of it that is fenced with a language and a file's name is written to that file. One fenced with `sh steps` is
run in one shell a block, which has to leave with 0, or with what `exit=` says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "verifiers.md"
HEADING = "## Write and publish a verifier in ten minutes"
TIMEOUT_S = 120
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
"""Tests have no network: pip builds with the backend that is installed (its 0 means "without isolation")."""

_FENCED = re.compile(r"^```(\w+) ([^\n]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody with an environment, who does what the guide says."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self._start = folder
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        self._environment = {**kept, **OFFLINE, "PATH": path, "WHERE": str(folder / "where")}

    def follow(self, text: str) -> None:
        for language, info, body in _FENCED.findall(text):
            if language == "sh":
                self._run(body.replace("python -m build", "python -m build --no-isolation"), info)
            else:
                (self.folder / info).write_text(body, encoding="utf-8")

    def _run(self, script: str, info: str) -> None:
        done = subprocess.run(
            ["bash", "-e", "-c", f"trap 'pwd > $WHERE' EXIT\n{script}"],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        expected = int(info.partition("exit=")[2] or 0)
        assert done.returncode == expected, f"{script}\n{done.stdout}\n{done.stderr}"
        self.said += done.stdout + done.stderr
        self.folder = Path((self._start / "where").read_text().strip())


@pytest.fixture(scope="module")
def reader(built: Path, scratch: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Reader:
    environment = scratch()
    environment.install(*built.glob("mopd-*.whl"))
    made = Reader(environment.folder / "bin", tmp_path_factory.mktemp("empty"))
    made.follow(PAGE.read_text(encoding="utf-8").partition(HEADING)[2])
    return made


def test_the_conformance_suite_ran_and_the_plugin_is_listed(reader: Reader) -> None:
    assert int(re.findall(r"(\d+) passed", reader.said)[0]) > 20
    assert "verifier countdown (mopd-countdown 0.1.0): Arithmetic that reaches a target" in reader.said


def test_the_verdicts_are_those_that_the_guide_shows(reader: Reader) -> None:
    verdicts = [json.loads(line) for line in reader.said.splitlines() if line.startswith('{"line"')]
    assert [verdict["status"] for verdict in verdicts] == ["passed", "failed", "error"]
    assert f'"feedback": "{verdicts[1]["feedback"]}"' in PAGE.read_text(encoding="utf-8")


def test_a_run_used_it(reader: Reader) -> None:
    config = json.loads((reader.folder / "trial" / "config.json").read_text())
    assert config["verifier"] == {"name": "countdown", "all_numbers": True}
    assert json.loads((reader.folder / "trial" / "summary.json").read_text())["steps"] == 1


def test_what_is_published_holds_the_entry_point(reader: Reader) -> None:
    (wheel,) = (reader.folder / "dist").glob("mopd_countdown-0.1.0-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (points,) = [packed.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    assert "countdown = mopd_countdown.plugin" in points
    assert "mopd_countdown/verifier.py" in names
