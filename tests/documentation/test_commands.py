"""Every line that a page has its reader type is typed by a test, or checked here as far as it can be without typing it.

`CHECKS` has a check a program; a line of a program without one fails. `NOT_HERE` lists what needs what no test has.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
from packaging.requirements import Requirement
from pages import DOCS, PAGES, ROOT, Line, name_of, plugins_of, untyped_lines

import cli
from mopd_core.config.load import load_config

CHOICES = ("generator", "verifier", "selector", "divergence", "teacher", "objective")

NOT_HERE = {
    ". .venv/bin/activate": "made by the line before it",
    "PYTHONPATH=engines/cpu-stubs SGLANG_USE_CPU_ENGINE=1 OMP_NUM_THREADS=1 python -m sglang.launch_server "
    "--device cpu ...": "needs SGLang",
    "bash run_mopd.sh Qwen/Qwen3-4B train.parquet test.parquet trainer.total_epochs=1": "needs GPUs, and verl",
    "pip install my-environment      # a package that exports a taskset, such as `vf-init` makes": "stands for any",
    "mopd run --selector contrastve": "wrong on purpose",
    "pip install -e my-verifier": "stands for any",
    "pip install mopd-countdown": "what the page has made",
    'python -c "import my_verifier.plugin"': "stands for any",
    "python -m twine upload dist/*": "needs an account",
    "python -m verl.trainer.main_ppo --config-path pkg://mopd_verl.recipe --config-name mopd": "needs verl",
    "python trainer.py \"$(python -c 'import mopd_core.bundled as b; print(b.model_path())')\" 40": "see "
    "tests/e2e/test_embedding.py, which runs the page's program",
    "ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 trainer.py MODEL 40": "see there too",
    "trackio show --project mopd": "opens a browser",
    "wandb login": "needs an account",
}
"""Lines that are not checked, and why."""

LINES = list({(line.text, line.page.parent): line for page in PAGES for line in untyped_lines(page)}.values())
"""What pages of a folder say alike is checked once."""


def check_mopd(page: Path, words: list[str]) -> None:
    """The command line parses, and what it configures can be composed."""
    command: Any = typer.main.get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if words in (["--help"], ["--version"]):
        return
    given = command.make_context("mopd", list(words), resilient_parsing=not words).params
    if "selector" in given:
        config = Path(given["config"]) if given["config"] else None
        file = config if config and config.is_file() else None
        load_config(
            file,
            plugins_of(page),
            choices={kind: given[kind] for kind in CHOICES},
            options=given["option"] or (),
        )


def check_make(page: Path, words: list[str]) -> None:
    """The targets exist."""
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_python(page: Path, words: list[str]) -> None:
    """The file or module exists; one of ours knows the options."""
    if words[0] != "-m":
        check_options(ROOT / words[0], words[1:])
    elif words[1] in CHECKS:
        CHECKS[words[1]](page, words[2:])
    else:
        found = find_spec(words[1])
        assert found is not None, f"there is no module {words[1]}"
        if words[1].startswith("mopd_"):
            check_options(Path(str(found.origin)), words[2:])


def check_options(program: Path, words: list[str]) -> None:
    known = re.findall(r'add_argument\(\s*"(--[\w-]+)"', program.read_text(encoding="utf-8"))
    assert {word for word in words if word.startswith("--")} <= set(known), f"{program.name} knows {known}"


def check_pip(page: Path, words: list[str]) -> None:
    """Folders, extras and packages of ours exist; those of others are installed here, or are wanted by the plugin."""
    assert words[0] == "install", words
    for word in words[1:]:
        folder, _, extra = word.strip("]").partition("[")
        if word.startswith("-"):
            continue
        if folder.startswith("."):
            assert extra in extras_of(page.parent / folder) | {""}, word
        elif folder == "mopd":
            assert extra in extras_of(ROOT) | {""}, word
        elif (ROOT / "plugins" / folder).is_dir():
            assert extra in extras_of(ROOT / "plugins" / folder) | {""}, word
        else:
            assert Requirement(word).name in wanted_by(page.parent) or is_installed(folder), word


def project_of(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def extras_of(folder: Path) -> set[str]:
    return set(project_of(folder).get("optional-dependencies", {}))


def wanted_by(folder: Path) -> set[str]:
    plugin = (folder / "pyproject.toml").exists()
    return {Requirement(text).name for text in project_of(folder)["dependencies"]} if plugin else set()


def is_installed(name: str) -> bool:
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


def check_pytest(page: Path, words: list[str]) -> None:
    """The files exist; without any, the folder of the tests."""
    home = page.parent if (page.parent / "pyproject.toml").exists() else ROOT
    for file in [word for word in words if word.endswith(".py")] or ["tests"]:
        assert (home / file).exists(), file


def check_torchrun(page: Path, words: list[str]) -> None:
    """torchrun knows its options, and the program behind them passes its own check; a sentence may leave that out."""
    from torch.distributed.run import get_args_parser

    given = get_args_parser().parse_args([*words, "mopd", "run"] if words[-1].startswith("--") else words)
    CHECKS[given.training_script if given.no_python else "python"](page, given.training_script_args)


CHECKS: dict[str, Callable[[Path, list[str]], None]] = {
    "make": check_make,
    "mopd": check_mopd,
    "pip": check_pip,
    "pytest": check_pytest,
    "python": check_python,
    "torchrun": check_torchrun,
}


def check(line: Line) -> None:
    words = shlex.split(line.text.partition(" > ")[0], comments=True)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    program = Path(words[0]).name
    assert program in CHECKS, f"nothing here knows how to check {line.text!r}: add a check, or a reason to NOT_HERE"
    CHECKS[program](line.page, words[1:])


@pytest.mark.parametrize(
    "line",
    [line for line in LINES if line.text not in NOT_HERE],
    ids=lambda line: f"{name_of(line.page)}: {line.text}",
)
def test_a_line_could_be_typed(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check(line)


def test_lines_that_are_not_checked_are_still_there() -> None:
    assert set(NOT_HERE) <= {line.text for line in LINES}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("mopd run --selectr positive", Exception),
        ("mopd run --selector positve", Exception),
        ("mopd run recipes/qwen3-deepmath.yaml -o training.stepz=3", Exception),
        ("make tset", AssertionError),
        ("python benchmarks/gone.py", OSError),
        ("OMP_NUM_THREADS=1 python benchmarks/loss.py --thread 2", AssertionError),
        ("python -m mopd_core.bundled.pretrain --where here", AssertionError),
        ("python -m pytest tests/gone.py -k middle", AssertionError),
        ("pip install 'mopd[vlm]'", AssertionError),
        ("pip install mopd-gone", AssertionError),
        ("torchrun --nproc-per-node 2 --no-python mopd run --gone", Exception),
        ("wget https://example.com", AssertionError),
    ],
)
def test_a_line_that_could_not_be_typed_is_found(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(Line(DOCS / "faq.md", text))
