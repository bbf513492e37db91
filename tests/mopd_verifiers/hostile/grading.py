"""Runs `mopd verify` on a file of candidates as different users would, and says what it left behind.

Programs under `attacks` say in comments what they try, for which kind of reference, and what they print where they
succeed. `@NAMES@` in them are filled in. Where `attacks/tests` has a file of the same name, it holds the tests instead
of the usual ones: one test, or a function `check`. Every program does little harm should it get out: it touches only
what this module made for it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PACKAGES = sysconfig.get_path("purelib")
NOBODY = 65534
SECRET = "secret-5f1c2a"
TOKEN = "token-83d1e7"
WITHOUT_NAMESPACES = (
    "unshare",
    "--user",
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "
    '--bounding-set=-all "$@"',
    "sh",
)
"""Starts what follows where no further namespace can be made, as in most containers."""


@dataclass(frozen=True, slots=True)
class User:
    """Who grades: `uid` None is whoever runs the tests."""

    name: str
    uid: int | None
    prefix: tuple[str, ...] = ()


USERS = (User("root", None), User("user", NOBODY), User("user-without-namespaces", NOBODY, WITHOUT_NAMESPACES))


@dataclass(frozen=True, slots=True)
class Stage:
    """What the programs may try to reach."""

    folder: Path
    python: Path
    port: int
    abstract: str

    @property
    def canary(self) -> Path:
        return self.folder / "canary.txt"

    @property
    def secret(self) -> Path:
        return self.folder / "home" / "secret.txt"

    def snapshot(self) -> dict[str, tuple[int, int, int, str]]:
        """What could be changed: every file's and folder's mode and owner, and a file's time and text."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.relative_to(self.folder).parts[0] != "python":
                stat, is_file = path.lstat(), path.is_file()
                time_ns, text = (stat.st_mtime_ns, path.read_text()) if is_file else (0, "")
                found[str(path)] = (stat.st_mode, stat.st_uid, time_ns, text)
        return found

    def processes(self) -> list[int]:
        """Processes that run this stage's interpreter."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (entry / "exe").readlink() == self.python.resolve():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found


@contextmanager
def stage(user: User) -> Iterator[Stage]:
    """A folder that `user` may read and write, a listening server, and an interpreter that everybody may run."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mopd-hostile-")))
        folder.chmod(0o755)
        for name in ("home", "tmp", "work"):
            (folder / name).mkdir()
        (folder / "canary.txt").write_text("untouched")
        (folder / "home" / "secret.txt").write_text(SECRET)
        python = copy_python(folder / "python")
        if user.uid is not None:
            for path in folder.iterdir():
                if path.name != "python":
                    for each in (path, *path.rglob("*")):
                        os.chown(each, user.uid, user.uid)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", server.getsockname()[1]))
        abstract = f"mopd-hostile-{os.getpid()}"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(f"\0{abstract}")
        listener.listen()
        yield Stage(folder, python, server.getsockname()[1], abstract)


def copy_python(folder: Path) -> Path:
    """An interpreter of this version that every user may run, under a path that nobody else's process has."""
    name = f"python{sysconfig.get_python_version()}"
    places = [Path(sys.executable).resolve(), Path("/usr/bin") / name, Path("/usr/local/bin") / name]
    for place in places:
        copy = folder / "bin" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if place.is_file():
            shutil.copy2(place, copy)
            if _runs(copy):
                return copy
    pytest.skip(f"no {name} here that every user may run; looked at {', '.join(map(str, places))}")


def _runs(python: Path) -> bool:
    become: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}
    command = [python, "-I", "-c", "import ssl, ctypes, sqlite3"]
    return subprocess.run(command, capture_output=True, cwd="/", **become).returncode == 0


def may_run(python: Path, user: User) -> str:
    """Why this user cannot grade on this machine; empty where it can."""
    if os.geteuid() != 0 and user.uid is not None:
        return "only root can become another user"
    if os.geteuid() != 0 and user.name == "root":
        return "needs root"
    probe = "import ssl, ctypes, mopd_core, pydantic, math_verify"
    done = subprocess.run([*user.prefix, python, "-c", probe], **_as(user), capture_output=True, text=True)
    return "" if done.returncode == 0 else f"the user cannot run the grader here: {done.stderr.strip()[-200:]}"


def _as(user: User) -> dict[str, Any]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{PACKAGES}", "OMP_NUM_THREADS": "1"}
    become = {} if user.uid is None else {"user": user.uid, "group": user.uid, "extra_groups": ()}
    return {"env": environment, "cwd": "/", **become}


def grade(
    user: User, stage: Stage, verifier: str, candidates: list[dict[str, Any]], *options: str
) -> list[dict[str, Any]]:
    """The result rows of `mopd verify`. The grader waits for its input until its process id has been filled in."""
    rows, out = stage.folder / "work" / f"{verifier}.jsonl", stage.folder / "work" / f"{verifier}-verdicts.jsonl"
    call = _as(user)
    call["env"] |= {"MOPD_TEST_SECRET": SECRET, "TMPDIR": str(stage.folder / "tmp"), "HOME": str(stage.folder / "home")}
    command = [stage.python, "-m", "mopd_core", "verify", rows, "--verifier", verifier, "--out", out, "--workers", "2"]
    started = ["sh", "-c", 'read go && exec "$@"', "sh", *user.prefix, *map(str, command)]
    with subprocess.Popen(started, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **call) as grader:
        rows.write_text("".join(json.dumps(_filled(row, stage, grader.pid)) + "\n" for row in candidates))
        rows.chmod(0o644)
        _, errors = grader.communicate("go\n", timeout=280)
    assert grader.returncode == 0, errors[-2000:]
    results = [json.loads(line) for line in out.read_text().splitlines()]
    rows.unlink()
    out.unlink()
    return results


def _filled(value: Any, stage: Stage, grader: int) -> Any:
    """The value with every `@NAME@` in its texts replaced."""
    if isinstance(value, dict):
        return {key: _filled(item, stage, grader) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, stage, grader) for item in value]
    if not isinstance(value, str):
        return value
    known = {
        "TOKEN": TOKEN,
        "SECRET": SECRET,
        "SECRET_FILE": stage.secret,
        "CANARY": stage.canary,
        "FOLDER": stage.folder / "tmp",
        "PACKAGES": PACKAGES,
        "PORT": stage.port,
        "ABSTRACT": stage.abstract,
        "GRADER": grader,
        "GUESS": "guess",
    }
    return re.sub(r"@([A-Z_]+)@", lambda found: str(known[found[1]]), value)


def header(source: str) -> dict[str, str]:
    """The `# key: value` lines of a program."""
    found = re.findall(r"^# (kind|expected|input|output|needs):(.*)$", source, re.MULTILINE)
    return {key: value.strip() for key, value in found}


def attacks(kinds: tuple[str, ...], timeout_s: float) -> list[dict[str, Any]]:
    """One row a program of these kinds."""
    rows = []
    for path in sorted((HERE / "attacks").glob("*.py")):
        source = path.read_text()
        about = header(source)
        if about["kind"] in kinds:
            reference = _reference(about["kind"], about.get("expected", "@TOKEN@")) | _own_tests(path)
            reference["timeout_s"] = timeout_s
            rows.append({"id": path.stem, "response": f"My program:\n```python\n{source}```\n", "reference": reference})
    return rows


def _own_tests(path: Path) -> dict[str, Any]:
    tests = path.parent / "tests" / path.name
    if not tests.exists():
        return {}
    text = tests.read_text()
    return {"test": text} if "def check(" in text else {"files": {"test_solution.py": text}, "n_tests": 1}


def _reference(kind: str, expected: str) -> dict[str, Any]:
    test = "def check(candidate):\n    assert candidate(7) == '@TOKEN@'\n"
    files = {
        "test_plain.py": "from solution import solve\n\n\ndef test_value():\n    assert solve(7) == '@TOKEN@'\n",
        "test_case.py": "import unittest\n\nimport solution\n\n\nclass Case(unittest.TestCase):\n"
        "    def test_value(self):\n        self.assertEqual(solution.solve(7), '@TOKEN@')\n",
    }
    return {
        "stdin": {"kind": "stdin", "tests": [{"input": "", "output": expected}]},
        "function": {"kind": "function", "entry_point": "solve", "tests": [{"args": [7], "expected": "@TOKEN@"}]},
        "humaneval": {
            "kind": "humaneval",
            "prompt": 'def solve(n):\n    """Return the name of n."""\n',
            "entry_point": "solve",
            "test": test,
        },
        "unit-tests": {"module": "solution", "files": files, "n_tests": 2},
    }[kind]


def honest() -> list[dict[str, Any]]:
    """One row an honest program."""
    rows = []
    for path in sorted((HERE / "honest").glob("*.py")):
        source = path.read_text()
        about = {key: value.replace("\\n", "\n") for key, value in header(source).items()}
        test = {"input": about.get("input", ""), "output": about["output"]}
        reference = {"kind": "stdin", "tests": [test], "timeout_s": 20}
        rows.append({"id": path.stem, "response": f"```python\n{source}```", "reference": reference})
    return rows
