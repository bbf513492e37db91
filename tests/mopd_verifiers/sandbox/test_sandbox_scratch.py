"""The folder of a program's own: what is put there, what may be done there, and that nothing is left for the next."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mopd_verifiers.sandbox import probe
from mopd_verifiers.sandbox.api import Interpreter, Limits, Program, Result, Sandbox, SandboxConfig
from mopd_verifiers.sandbox.inside import scratch
from mopd_verifiers.sandbox.inside.setup import LAYERS

SCRATCH = Interpreter(scratch=True)


def test_files_are_there_and_helpers_can_be_imported(run: Callable[..., Result]) -> None:
    files = {"helper.py": b"VALUE = 5", "data/in/a.txt": b"text", "tool/__init__.py": b"", "tool/more.py": b"X = 6"}
    source = (
        "import os, helper, tool.more\n"
        "print(helper.VALUE, tool.more.X, open('data/in/a.txt').read(), os.path.exists(os.getcwd()))\n"
        "open('helper.py', 'a').write('#'); open('data/in/new', 'w').write('x'); os.remove('data/in/a.txt')\n"
    )
    result = run(source, files=files, interpreter=SCRATCH)
    assert result.stdout == b"5 6 text True\n", result


def test_nothing_is_left_for_the_next(run: Callable[..., Result]) -> None:
    mess = (
        "import os\n"
        "os.mkdir('locked', 0); os.symlink('/etc', 'link'); os.symlink('nowhere', 'dangling')\n"
        "open('x', 'w').close(); os.mkdir('full'); open('full/y', 'w').close()\n"
        "os.umask(0o777); open('z', 'w').close()\n"
        "for _ in range(500): os.mkdir('deep', 0o700); os.chdir('deep')\n"
    )
    for _ in range(3):
        assert run("import os; print(os.listdir('.'))\n" + mess, interpreter=SCRATCH).stdout == b"[]\n"


def test_it_is_the_only_folder(run: Callable[..., Result]) -> None:
    for act in (
        "open('../nobody-s-file', 'w')",
        "open('/tmp/nobody-s-file', 'w')",
        "open('/etc/hostname')",
        "os.listdir('..')",
    ):
        assert b"PermissionError" in run(f"import os; {act}", interpreter=SCRATCH).stderr, act
    linked = "import os; os.symlink('/etc/hostname', 'l'); open('l')"
    assert b"PermissionError" in run(linked, interpreter=SCRATCH).stderr


def test_without_it_there_is_none(run: Callable[..., Result]) -> None:
    assert b"PermissionError" in run("open('x', 'w')").stderr
    assert b"PermissionError" in run("import os; os.mkdir('/tmp/x')").stderr


def test_a_file_has_a_biggest_size(run: Callable[..., Result]) -> None:
    result = run("f = open('x', 'wb'); f.write(bytes(2 << 20)); f.flush()", Limits(), interpreter=SCRATCH)
    assert b"File too large" in result.stderr


FILL = """
for i in range({files}):
    with open(f'f{{i}}', 'wb') as file: file.write(bytes({size}))
import time; time.sleep({pause})
print('done')
"""


@pytest.mark.parametrize(("files", "size"), [(100, 1 << 20), (4200, 1)])
def test_the_folder_has_a_biggest_size(run: Callable[..., Result], files: int, size: int) -> None:
    result = run(FILL.format(files=files, size=size, pause=0), interpreter=SCRATCH)
    assert result.status == "error"
    assert b"No space left on device" in result.stderr


@pytest.mark.parametrize(("files", "size"), [(100, 1 << 20), (4200, 1)])
def test_it_has_one_without_namespaces_too(files: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_findings", lambda bubblewrap: {**dict.fromkeys(LAYERS, ""), "namespaces": "no"})
    sandbox = Sandbox(SandboxConfig(), workers=1)
    try:
        filled = sandbox.run(Program(FILL.format(files=files, size=size, pause=5), interpreter=SCRATCH), Limits())
        assert (filled.status, filled.signal) == ("crashed", "SIGXFSZ"), filled
        after = sandbox.run(Program("import os; print(os.listdir('.'))", interpreter=SCRATCH), Limits())
        assert after.stdout == b"[]\n"
    finally:
        sandbox.close()


def test_emptying_follows_no_link_and_knows_no_depth(tmp_path: Path) -> None:
    """1200 levels: more than Python's recursion limit, and with longer paths than are allowed for names like these."""
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "kept").write_text("kept")
    (folder / "link").symlink_to(outside)
    (folder / "inner").mkdir()
    (folder / "inner" / "link").symlink_to(outside)
    at = os.open(folder, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d" * 9, dir_fd=at)
        inner = os.open("d" * 9, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    scratch.empty(folder)
    assert list(folder.iterdir()) == []
    assert (outside / "kept").read_text() == "kept"
