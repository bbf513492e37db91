"""What `mopd new-plugin` writes, kind by kind, without installing it; tests/e2e/test_new_plugin.py does that."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from mopd_core import __version__
from mopd_core.config.reference import built_in
from mopd_core.errors import ConfigError
from mopd_core.registry import KINDS
from mopd_core.scaffold.kinds import EXAMPLES
from mopd_core.scaffold.project import LICENSES, make_project, plan_project

AUTHOR = 'Ada "Count" Löwe \\ Co.'


def made(folder: Path, kind: str = "selector", name: str = "mopd-nearest", **options: str) -> Path:
    target = folder / name
    make_project(plan_project(name, kind, built_in(), **options), target)
    return target


def project_table(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_kind_has_an_example() -> None:
    assert {f"{noun}s" for noun in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_names_follow_from_the_distributions(tmp_path: Path, kind: str) -> None:
    folder = made(tmp_path, kind, "mopd-nearest-miss")
    project = project_table(folder)
    assert project["name"] == "mopd-nearest-miss"
    assert project["entry-points"]["mopd"] == {"nearest-miss": "mopd_nearest_miss.plugin"}
    assert Requirement(project["dependencies"][0]).specifier == f">={__version__}"
    assert (folder / "mopd_nearest_miss" / f"{kind}.py").is_file()
    hook = (folder / "mopd_nearest_miss" / "plugin.py").read_text(encoding="utf-8")
    assert f"def mopd_register_{kind}s(" in hook
    assert 'registry.add("nearest-miss"' in hook


def test_a_folder_is_complete_and_says_what_it_holds(tmp_path: Path) -> None:
    project = plan_project("mopd-nearest", "selector", built_in())
    listed = make_project(project, tmp_path / "here")
    found = sorted(path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*") if path.is_file())
    assert listed == found
    assert {".github/workflows/ci.yml", ".gitignore", "LICENSE", "README.md"} <= set(map(str, found))
    assert {"mopd_nearest/py.typed", "tests/test_mopd_nearest.py"} <= set(map(str, found))


@pytest.mark.parametrize("license_name", LICENSES)
def test_author_and_licence_are_those_asked_for(tmp_path: Path, license_name: str) -> None:
    folder = made(tmp_path, author=AUTHOR, license_name=license_name)
    project = project_table(folder)
    assert (project["license"], project["license-files"]) == (license_name, ["LICENSE"])
    assert project["authors"] == [{"name": AUTHOR}]
    text = (folder / "LICENSE").read_text(encoding="utf-8")
    assert ("Apache License" in text) == (license_name == "Apache-2.0")
    assert (AUTHOR in text) == (license_name == "MIT")


def test_the_workflow_is_yaml_that_runs_the_tests(tmp_path: Path) -> None:
    workflow = yaml.safe_load((made(tmp_path) / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step][-1] == "python -m pytest"
    assert steps[1]["with"]["python-version"] == "${{ matrix.python }}"


@pytest.mark.parametrize("name", ["ab", "long-name-of-thirty-characters"])
def test_the_code_is_formatted_and_passes_its_own_linter(tmp_path: Path, name: str) -> None:
    for kind in EXAMPLES:
        made(tmp_path / kind, kind, name)
    ruff = [sys.executable, "-m", "ruff"]
    for command in ([*ruff, "check", "--no-cache"], [*ruff, "format", "--check", "--no-cache"]):
        done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "the name '' cannot be used; allowed: small letters"),
        ("Mopd-Nearest", "allowed: small letters, digits and single hyphens"),
        ("mopd_nearest", "allowed: small letters"),
        ("mopd--nearest", "single hyphens"),
        ("-nearest", "beginning with a letter"),
        ("../nearest", "allowed: small letters"),
        ("m" * 31, "at most 30 characters"),
        ("class", "Python has a module 'class' here"),
        ("json", "Python has a module 'json' here"),
        ("mopd-core", "Python has a module 'mopd_core' here"),
        ("tests", "the folder 'tests' has another use there"),
        ("runs", "the folder 'runs' has another use there"),
        ("mopd-no", "as the plugin would be called 'no': a config would read that as False"),
        ("mopd-12", "as the plugin would be called '12': a config would read that as 12"),
        ("mopd", "a distribution or a plugin of that name is installed here"),
        ("mopd-mopd-core", "a distribution or a plugin of that name is installed here"),
        ("mopd-contrastive", r"mopd .* \(plugin 'mopd-core'\) has a selector 'contrastive', and mopd refuses a second"),
    ],
)
def test_a_name_that_cannot_be_used_says_why(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_project(name, "selector", built_in())


def test_another_kind_may_have_the_same_name() -> None:
    assert plan_project("mopd-contrastive", "verifier", built_in()).plugin == "contrastive"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "selecter"}, "no kind 'selecter' of plugins. Did you mean 'selector'"),
        ({"license_name": "GPL"}, "--license is 'GPL'; allowed: MIT, Apache-2.0"),
        ({"author": "  "}, "a name on one line"),
        ({"author": "Ada\nLöwe"}, "a name on one line"),
    ],
)
def test_what_else_cannot_be_used_says_why(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_project(**{"name": "mopd-nearest", "kind": "selector", "registries": built_in(), **options})


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(ConfigError, match="here exists already"):
        make_project(plan_project("mopd-nearest", "selector", built_in()), tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []
