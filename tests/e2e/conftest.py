"""`mopd` from outside: the installed command, in processes of its own, in folders outside the checkout.

`mopd` runs the command beside this interpreter, `mopd_inside` the same in this process, which has imported everything
already: seconds a call, where nothing depends on a process of its own. `scratch` makes environments in which only what
a test installs is installed, and heavy dependencies are borrowed; a new test of packaging or of a plugin starts there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240

SMALL = {
    "training.steps": 2,
    "rollout.prompts": 2,
    "rollout.group_size": 4,
    "data.train": 20,
    "data.held_out": 4,
    "evaluation.samples": 2,
    "verifier.workers": 1,
}
"""A run of a second, once everything is imported."""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    def ok(self) -> Done:
        assert self.code == 0, self.err
        return self


@dataclass(frozen=True)
class Command:
    """A program, where it runs, and what its environment has beside the usual."""

    program: Sequence[str | Path]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, **environment: str) -> Done:
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        return Done(process.returncode, out, err)

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        """The command in a session of its own, so that signals to its group reach nobody else."""
        return subprocess.Popen(
            [*map(str, self.program), *map(str, arguments)],
            cwd=self.folder,
            env={**_plain_environment(), **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str | Path, **options: object) -> Done:
        """`mopd run` with `SMALL` settings; options: others, with `__` for the dots of a path."""
        return self("run", *self.small(**options), *arguments)

    @staticmethod
    def small(**options: object) -> list[str]:
        """`SMALL` settings, changed and added to, as arguments; an option that is None is left out."""
        settings = SMALL | {path.replace("__", "."): value for path, value in options.items()}
        return [part for path, value in settings.items() if value is not None for part in ("-o", f"{path}={value}")]


class Inside(Command):
    """`mopd` in this process."""

    def __call__(self, *arguments: str | Path, **environment: str) -> Done:
        done = CliRunner().invoke(cli.app, list(map(str, arguments)), env={**self.environment, **environment})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Done(done.exit_code, done.stdout, done.stderr)


def _plain_environment() -> dict[str, str]:
    """This process's environment without what would change how `mopd` finds its packages and prints."""
    changed = ("PYTHONPATH", "MOPD_DISABLE_PLUGINS", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if name not in changed}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def program() -> Path:
    """The console script of the environment that runs the tests."""
    return Path(sys.executable).with_name("mopd")


@pytest.fixture(scope="session")
def command() -> type[Command]:
    """For a program other than `mopd`, or a folder other than the test's own."""
    return Command


@pytest.fixture
def mopd(program: Path, tmp_path: Path) -> Command:
    """The installed command, run in the test's own folder."""
    return Command([program], tmp_path)


@pytest.fixture
def mopd_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in this process, run in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    return Inside([], tmp_path)


@dataclass(frozen=True)
class Scratch:
    """An environment that holds what was installed into it; torch and the like are borrowed from the tests' own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, *what: str | Path) -> None:
        """Install wheels or source folders as pip would, without dependencies, network or a build environment."""
        offline = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", "--quiet")
        command = [sys.executable, "-m", "pip", "--python", self.python, "install", *offline, *what]
        subprocess.run(list(map(str, command)), check=True, env=_plain_environment())

    def command(self, name: str, folder: Path) -> Command:
        """A program of this environment, to be run in `folder`."""
        return Command([self.folder / "bin" / name], folder)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Scratch]:
    """Make an environment. Its own packages come before the borrowed ones, whose `.pth` files (and with them an
    editable mopd) are not followed."""

    def make() -> Scratch:
        made = Scratch(tmp_path_factory.mktemp("environment"))
        venv.create(made.folder, symlinks=True)
        (own,) = made.folder.glob("lib/python*/site-packages")
        borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (own / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
        return made

    return make


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, built from the checkout, and the wheel, built from the sdist."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_plain_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return target
