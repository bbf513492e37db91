"""What the doctor says of packages, plugins and the runs folder."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from mopd_core import doctor
from mopd_core.doctor import Finding, examine
from mopd_core.errors import PluginError
from mopd_core.registry import Registries, load_plugins

REQUIRES = ["numpy>=2", "rich>=13", "absent>=1", 'vllm>=0.19; extra == "vllm"', 'sglang>=0.5; extra == "sglang"']
VERSIONS = {"numpy": "1.26", "rich": "15.0", "vllm": "0.20"}


@pytest.fixture
def registries() -> Registries:
    return load_plugins(points=[])


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, registries: Registries, tmp_path: Path) -> dict[str, Finding]:
    def version(name: str) -> str:
        if name not in VERSIONS:
            raise PackageNotFoundError(name)
        return VERSIONS[name]

    monkeypatch.setattr(doctor, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(doctor, "version", version)
    registries.broken.append(PluginError("plugin x is broken"))
    return {finding.name: finding for finding in examine(registries, tmp_path / "runs")}


def test_a_version_outside_of_its_range_is_a_problem_with_its_remedy(found: dict[str, Finding]):
    assert found["numpy"].status == "problem"
    assert found["numpy"].detail == "1.26 is outside of >=2; pip install 'numpy>=2'"


def test_a_version_inside_is_fine_and_a_missing_package_a_problem(found: dict[str, Finding]):
    assert found["rich"] == Finding("rich", "ok", "15.0")
    assert found["absent"] == Finding("absent", "problem", "not installed; pip install 'absent>=1'")


def test_an_engine_that_is_missing_is_only_worth_a_note(found: dict[str, Finding]):
    assert found["vllm"] == Finding("vllm", "ok", "0.20")
    assert found["sglang"] == Finding("sglang", "note", "not installed; optional: pip install 'mopd[sglang]'")


def test_broken_plugins_and_missing_kinds_are_problems(found: dict[str, Finding]):
    assert found["plugin"] == Finding("plugin", "problem", "plugin x is broken")
    assert found["generators"] == Finding("generators", "problem", "none is installed")
    assert found["trackers"].status == "ok"


def test_a_runs_folder_under_a_file_cannot_be_written(registries: Registries, tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (finding,) = (item for item in examine(registries, tmp_path / "file" / "runs") if item.name == "runs folder")
    assert finding.status == "problem"
    assert "cannot be written" in finding.detail
