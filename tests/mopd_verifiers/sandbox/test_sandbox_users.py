"""As an ordinary user, without namespaces, inside bubblewrap, and as root with another user to become."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PROBE = """
import json, sys
from mopd_verifiers.sandbox.api import *
sandbox = Sandbox(SandboxConfig(bubblewrap="bubblewrap" in sys.argv), workers=1)
scratch = Interpreter(scratch=True)
def run(source, **fields):
    result = sandbox.run(Program(source, **fields), Limits(wall_s=20.0))
    return [result.status, result.stdout.decode(), result.stderr.decode()[-300:], result.reason, list(result.missing)]
print(json.dumps({
    "hello": run("print(input())", stdin=b"hello"),
    "user": run("import os; print(os.getuid(), os.geteuid(), os.getgroups())"),
    "threads": run("import threading as t\\nfor i in range(20): t.Thread(target=print, args=(i,)).start()"),
    "files": run("open('a', 'w').write('x'); print(open('a').read() + open('b').read())",
                 files={"b": b"y"}, interpreter=scratch),
    "mess": run("import os\\nprint(os.listdir('.'))\\nos.mkdir('locked', 0)", interpreter=scratch),
    "clean": run("import os\\nprint(os.listdir('.'))", interpreter=scratch),
    "secret": run("open('/etc/hostname')"),
    "fork": run("import os; os.fork()"),
    "network": run("import socket; socket.socket()"),
}))
sandbox.close()
"""


def readable_python() -> str:
    """A Python of this minor version that everybody can use."""
    for candidate in (
        sys.executable,
        shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin:/usr/local/bin"),
    ):
        if candidate and all(
            parent.stat().st_mode & 0o005 == 0o005 for parent in Path(os.path.realpath(candidate)).parents
        ):
            return candidate
    pytest.skip("no Python here that an ordinary user could read")


def probe(*before: str, arguments: tuple[str, ...] = ()) -> dict[str, list[object]]:
    packages = [path for path in sys.path if path.endswith("-packages")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT), *packages])}
    done = subprocess.run(
        [*before, readable_python(), "-B", "-c", PROBE, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


def check(found: dict[str, list[object]], missing: set[str]) -> None:
    assert found["hello"][:2] == ["ok", "hello\n"], found
    assert found["threads"][0] == "ok", found
    assert found["files"][:2] == ["ok", "xy\n"], found
    assert [found["mess"][1], found["clean"][1]] == ["[]\n", "[]\n"], found
    for name in ("secret", "fork", "network"):
        assert re.search("PermissionError|FileNotFoundError.*/etc/hostname", str(found[name][2])), found
    assert set(found["hello"][4]) == missing  # type: ignore[arg-type, call-overload]


def need_root() -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv, to become others")


def test_as_root_programs_are_another_user() -> None:
    need_root()
    found = probe()
    check(found, set())
    real, effective, groups = str(found["user"][1]).split(maxsplit=2)
    assert real == effective != "0"
    assert groups.strip() == "[]"


def test_as_an_ordinary_user() -> None:
    need_root()
    found = probe(*NOBODY)
    check(found, {"uid"} | set(found["hello"][4]) & {"namespaces"})  # type: ignore[arg-type, call-overload]


def test_as_an_ordinary_user_without_namespaces() -> None:
    need_root()
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed; it is what forbids namespaces here")
    forbid = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--disable-userns"]
    check(probe(*NOBODY, *forbid), {"uid", "namespaces"})


def test_inside_bubblewrap() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    check(probe(arguments=("bubblewrap",)), {"uid"})
