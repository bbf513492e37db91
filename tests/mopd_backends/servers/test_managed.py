"""Servers of our own: started, waited for, started again, and gone with all their children, however a trainer ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from mopd_backends.servers.config import EngineConfig
from mopd_backends.servers.generator import ServedGenerator, build_served
from mopd_backends.servers.managed import ManagedServer, free_port, url_of
from mopd_core.errors import GeneratorError
from mopd_core.types import Sampling

TRAINER = Path(__file__).with_name("managed_trainer.py")
SAMPLING = Sampling(max_tokens=12)


@pytest.fixture
def mark(monkeypatch) -> str:
    """Every process that is started by the test has it in its environment."""
    mark = uuid4().hex
    monkeypatch.setenv("MARK", mark)
    return mark


@pytest.fixture
def managed(fakes, context) -> Iterator[Callable[..., ServedGenerator]]:
    """Builds a generator over a server of its own."""
    with ExitStack() as stack:

        def build(**options) -> ServedGenerator:
            config = EngineConfig(managed=True, max_wait_s=20.0)
            generator = build_served(fakes.FakeApi(**options), config, context)
            stack.callback(generator.close)
            return generator

        yield build


ENDINGS = ("success", "failure", signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def test_nothing_is_left_however_the_trainer_ends(fakes, tmp_path, monkeypatch):
    """All endings at once, as children that ignore SIGTERM are given some seconds each time."""
    marks: dict[str | signal.Signals, str] = {}
    trainers: dict[str | signal.Signals, subprocess.Popen[bytes]] = {}
    for ending in ENDINGS:
        marks[ending] = uuid4().hex
        monkeypatch.setenv("MARK", marks[ending])
        folder = tmp_path / str(ending)
        folder.mkdir()
        command = [sys.executable, str(TRAINER), str(folder), str(ending), json.dumps({"children": 2})]
        trainers[ending] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for ending, trainer in trainers.items():
        assert trainer.stdout is not None
        assert trainer.stdout.readline().startswith(b"up")
        if isinstance(ending, signal.Signals):
            assert len(fakes.processes_marked(marks[ending])) == 6  # trainer, its child, supervisor, engine, children
            trainer.send_signal(ending)
    for ending, trainer in trainers.items():
        trainer.wait()
        fakes.wait_until(lambda mark=marks[ending]: all(map(is_sleeper, fakes.processes_marked(mark))))
        (sleeper,) = fakes.processes_marked(marks[ending])
        os.kill(sleeper, signal.SIGKILL)


def is_sleeper(pid: int) -> bool:
    """Whether it is the trainer's own forked child, which holds all that the trainer held open."""
    try:
        return str(TRAINER).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_generator_has_its_own_server_and_leaves_nothing(fakes, managed, mark, prompts, seeds, tmp_path):
    generator = managed()
    assert len(generator.generate(prompts, SAMPLING, seeds=seeds)) == len(prompts)
    assert "fake engine" in (tmp_path / "server.log").read_text()
    generator.close()
    generator.close()
    assert fakes.processes_marked(mark) == []


def test_its_server_is_started_with_the_students_revision(fakes, context, monkeypatch):
    asked = []
    monkeypatch.setattr("mopd_backends.servers.generator.engine_model", lambda *model: asked.append(model) or "folder")
    api = fakes.FakeApi(fault="start")
    monkeypatch.setattr(
        api, "command", lambda model, *rest: asked.append(model) or fakes.FakeApi.command(api, model, *rest)
    )
    student = replace(context, model_path="someone/tiny", model_revision="v2")
    with pytest.raises(GeneratorError, match="ended before it could answer"):
        build_served(api, EngineConfig(managed=True, max_wait_s=20.0), student)
    assert asked == [("someone/tiny", "v2"), "folder"]


def test_a_server_that_dies_is_started_again_with_the_weights(fakes, managed, mark, prompts, seeds, tmp_path):
    generator = managed(delay_s=0.02)
    expected = [[rollout.text for rollout in group] for group in generator.generate(prompts, SAMPLING, seeds=seeds)]
    texts = {}
    for p, g, rollout in generator.stream(prompts, SAMPLING, seeds=seeds):
        texts[p, g] = rollout.text
        if len(texts) == 1:
            os.kill(engine_pids(tmp_path)[-1], signal.SIGKILL)
    assert [[texts[p, g] for g in range(len(group))] for p, group in enumerate(seeds)] == expected
    generator.close()
    assert "code -9; it is started again, 2 more times at most" in (tmp_path / "server.log").read_text()


def test_after_three_times_it_is_given_up_at_once(fakes, managed, mark, prompts, seeds, tmp_path):
    generator = managed(delay_s=0.05)
    for number in range(1, 5):
        fakes.wait_until(lambda number=number: len(engine_pids(tmp_path)) == number)
        os.kill(engine_pids(tmp_path)[-1], signal.SIGKILL)
    with pytest.raises(GeneratorError, match="ended 4 times") as stopped:
        generator.generate(prompts, SAMPLING, seeds=seeds)
    generator.close()
    assert "--resume" in str(stopped.value)


def engine_pids(folder: Path) -> list[int]:
    """Of the engines that were started so far, the last one last."""
    lines = (folder / "server.log").read_text().splitlines()
    return [int(line.split()[-1]) for line in lines if line.startswith("fake engine")]


def test_a_server_that_does_not_start_is_reported_with_its_last_words(fakes, managed, mark, tmp_path):
    start = time.monotonic()
    with pytest.raises(GeneratorError, match="ended before it could answer") as stopped:
        managed(fault="start")
    assert "no memory for this model" in str(stopped.value)
    assert str(tmp_path / "server.log") in str(stopped.value)
    assert time.monotonic() - start < 10
    assert fakes.processes_marked(mark) == []


def test_a_server_that_never_answers_is_ended(fakes, mark, tmp_path):
    server = ManagedServer([sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path / "log")
    with pytest.raises(GeneratorError, match=r"did not answer within 0.5 s"):
        server.wait_until(lambda: False, 0.5)
    server.stop()
    assert fakes.processes_marked(mark) == []


LITTERS = """
import mmap, multiprocessing, sys, tempfile, time
from pathlib import Path

NAME = "/dev/shm/mopd-test-" + sys.argv[1]
file = open(NAME, "w+b")
file.write(bytes(4096))
file.flush()
memory = mmap.mmap(file.fileno(), 4096)
older = open(sys.argv[2], "r+b")
others = mmap.mmap(older.fileno(), 4096)
lock = multiprocessing.get_context("spawn").Lock()
Path(sys.argv[3]).write_text(f"{tempfile.mkstemp()[1]} /dev/shm/sem.{lock._semlock.name[1:]} {NAME}")
time.sleep(600)
"""


@pytest.mark.parametrize("is_killed", [False, True], ids=["ended", "killed"])
def test_nothing_is_left_in_memory_or_among_temporary_files(fakes, tmp_path, mark, is_killed):
    """But for what was there before, or is somebody else's."""
    older, report = Path(f"/dev/shm/mopd-test-older-{mark}"), tmp_path / "report"
    older.write_bytes(bytes(4096))
    os.utime(older, (0, 0))
    try:
        command = [sys.executable, "-c", LITTERS, mark, str(older), str(report)]
        server = ManagedServer(command, {}, tmp_path / "log", restarts=0)
        server.wait_until(lambda: report.exists() and report.read_text(), 20)
        temporary, *segments = map(Path, report.read_text().split())
        assert [path.exists() for path in (temporary, *segments)] == [True] * 3
        if is_killed:
            time.sleep(1.5)  # until its memory has been looked at
            for pid in fakes.processes_marked(mark):
                if b"supervisor.py" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        server.stop()
        assert [path.exists() for path in (temporary.parent, *segments)] == [False] * 3
        assert older.exists()
    finally:
        older.unlink()
        Path(f"/dev/shm/mopd-test-{mark}").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ("serve", "http://127.0.0.1:80"),
        ("--host 127.0.0.1 --port 80 --host 0.0.0.0", "http://127.0.0.1:80"),
        ("--host 127.0.0.1 --port 80 --host=10.0.0.5 --port=81", "http://10.0.0.5:81"),
        ("--host :: --port none", "http://[::1]:80"),
        ("--port", "http://127.0.0.1:80"),
    ],
)
def test_a_server_answers_where_its_last_flags_say(flags, url):
    assert url_of(flags.split(), 80) == url


def test_a_free_port_is_free():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
