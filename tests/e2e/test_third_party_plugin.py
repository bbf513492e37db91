"""Plugins of others, installed as their users would install them: the one in `plugins/`, and some that are broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "plugins" / "mopd-jsonschema"
SCHEMA = {"type": "object", "required": ["sum"], "properties": {"sum": {"type": "integer"}}}

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "3.2.1"
[project.entry-points.mopd]
{plugin} = "{module}"
"""
BROKEN = {
    "an import that raises": (
        "import a_module_that_nobody_has\n",
        ("mopd-awry 3.2.1", "cannot be imported", "ModuleNotFoundError", "a_module_that_nobody_has"),
    ),
    "a name that is taken": (
        "from mopd_core import PluginConfig, hookimpl\n\n"
        "@hookimpl\n"
        "def mopd_register_selectors(registry):\n"
        "    registry.add('contrastive', PluginConfig, print)\n",
        ("mopd-awry 3.2.1", "two plugins register the selector 'contrastive'", "mopd 0."),
    ),
    "a misspelt hook": (
        "from mopd_core import hookimpl\n\n@hookimpl\ndef mopd_register_verifier(registry):\n    pass\n",
        ("mopd-awry 3.2.1", "'mopd_register_verifier'", "Did you mean 'mopd_register_verifiers'?"),
    ),
}


@pytest.fixture(scope="module")
def plain(built: Path, scratch: Callable[[], Any]) -> Any:
    """An environment with mopd alone."""
    environment = scratch()
    environment.install(*built.glob("mopd-*.whl"))
    return environment


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's folder, away from the checkout."""
    target = tmp_path_factory.mktemp("plugin") / PLUGIN.name
    return Path(shutil.copytree(PLUGIN, target, ignore=shutil.ignore_patterns("__pycache__", ".*")))


@pytest.fixture(scope="module")
def equipped(built: Path, source: Path, scratch: Callable[[], Any]) -> Any:
    """An environment with mopd and the plugin."""
    environment = scratch()
    environment.install(*built.glob("mopd-*.whl"))
    environment.install(source)
    return environment


def test_the_plugin_is_listed_with_its_distribution_unless_it_is_disabled(equipped: Any, tmp_path: Path):
    mopd = equipped.command("mopd", tmp_path)
    rows = json.loads(mopd("plugins", "--json").ok().out)["plugins"]
    (row,) = [row for row in rows if row["name"] == "json-schema"]
    assert (row["kind"], row["distribution"], row["version"]) == ("verifier", "mopd-jsonschema", "0.1.0")
    assert row["help"]
    for name in ("jsonschema", "mopd-jsonschema"):
        rows = json.loads(mopd("plugins", "--json", MOPD_DISABLE_PLUGINS=name).ok().out)["plugins"]
        assert "json-schema" not in {row["name"] for row in rows}


def test_its_own_tests_pass(equipped: Any, source: Path, command: Any):
    pytest_of_the_plugin = [equipped.python, "-m", "pytest", "-p", "no:cacheprovider", "--color=no"]
    done = command(pytest_of_the_plugin, source)()
    assert done.code == 0, done.out + done.err
    assert " passed" in done.out


def test_a_run_is_judged_by_it(equipped: Any, tmp_path: Path):
    rows = [{"prompt": f"{n}+1", "reference": SCHEMA} for n in range(8)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    own = {"data__train": None, "verifier__workers": None, "data__path": "sums.jsonl", "verifier__max_violations": 1}
    done = equipped.command("mopd", tmp_path).run("--verifier", "json-schema", "--out", "here", **own).ok()
    assert "verifier json-schema" in done.err
    assert "step 1: no rollout succeeded; the step trains on nothing" in done.err
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    assert (summary["after"], summary["skipped_steps"]) == ({"mean@2": 0.0, "pass@2": 0.0}, 2)


def test_its_options_are_typed_and_its_references_checked(equipped: Any, tmp_path: Path):
    mopd = equipped.command("mopd", tmp_path)
    done = mopd("run", "--verifier", "json-schema", "-o", "verifier.max_violations=none")
    assert (done.code, len(done.errors)) == (2, 1)
    assert "verifier.max_violations" in done.errors[0]
    row = {"response": "{}", "reference": {"type": "nothing"}}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    done = mopd("verify", "answers.jsonl", "--verifier", "json-schema")
    assert json.loads(done.out)["status"] == "error"
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_one_line_that_names_it_and_can_be_skipped(
    plain: Any, built: Path, tmp_path: Path, name: str
):
    code, said = BROKEN[name]
    source, target = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    (source / "mopd_awry.py").write_text(code, encoding="utf-8")
    (source / "pyproject.toml").write_text(
        PYPROJECT.format(name="mopd-awry", plugin="awry", module="mopd_awry"), encoding="utf-8"
    )
    plain.install("--target", target, source)
    mopd, path = plain.command("mopd", tmp_path), {"PYTHONPATH": str(target)}
    done = mopd("run", **path)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    for part in said:
        assert part in line
    assert "MOPD_DISABLE_PLUGINS=awry" in line
    assert line.removeprefix("error: ") in json.loads(mopd("plugins", "--json", **path).ok().out)["broken"]
    mopd("config", "show", MOPD_DISABLE_PLUGINS="awry", **path).ok()
