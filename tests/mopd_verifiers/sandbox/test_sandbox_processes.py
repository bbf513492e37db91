"""Nothing leaks: between runs, between threads, at the end, or when processes die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mopd_verifiers.sandbox.api import Interpreter, Limits, Program, Result, Sandbox, SandboxConfig

SCRATCH = Interpreter(scratch=True)


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def children_of(pid: int) -> list[int]:
    """A process's descendants, in any depth; those of a parent come before those of its children."""
    try:
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    direct = [int(word) for text in texts for word in text.split()]
    return direct + [inner for child in direct for inner in children_of(child)]


def await_true(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_state_does_not_leak_between_runs(run: Callable[..., Result]) -> None:
    leave = (
        "import builtins, sys, math, json, random\n"
        "builtins.leaked = 1; math.pi = 3; sys.modules['leaked'] = math; json.dumps = None; sys.path.append('x')\n"
        "sys.setrecursionlimit(5000); random.seed(1)"
    )
    look = (
        "import builtins, sys, math, json\n"
        "print(hasattr(builtins, 'leaked'), math.pi > 3.1, 'leaked' in sys.modules, json.dumps(1), 'x' in sys.path)"
    )
    for _ in range(3):
        assert run(leave).status == "ok"
        assert run(look).stdout == b"False True False 1 False\n"


def test_many_threads_share_few_workers(sandbox: Sandbox) -> None:
    wrong: list[Result] = []

    def work(thread: int) -> None:
        for i in range(50):
            result = sandbox.run(Program("print(input())", stdin=f"{thread} {i}\n".encode()), Limits(wall_s=30.0))
            if result.stdout != f"{thread} {i}\n".encode() or result.status != "ok":
                wrong.append(result)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nothing_is_left_after_many_runs_and_closing() -> None:
    children = set(children_of(os.getpid()))
    before, folders = descriptors(), set(Path(tempfile.gettempdir()).glob("mopd-*"))
    sandbox = Sandbox(SandboxConfig(), workers=2)
    sandbox.run(Program("pass"), Limits())
    warm = descriptors()
    for i in range(200):
        source = ("print(1)", "1/0", "open('x', 'w')", "import time; time.sleep(9)")[i % 4 if i % 40 == 3 else i % 3]
        sandbox.run(Program(source, interpreter=(Interpreter(), SCRATCH)[i % 2]), Limits(wall_s=0.3))
    assert descriptors() - warm <= 3
    sandbox.close()
    assert descriptors() == before
    assert set(children_of(os.getpid())) == children
    assert set(Path(tempfile.gettempdir()).glob("mopd-*")) == folders


def test_a_refused_sandbox_leaves_nothing() -> None:
    before = descriptors()
    with pytest.raises(ValueError, match="require"):
        Sandbox(SandboxConfig(require=("prayer",)), workers=2)  # type: ignore[arg-type]
    assert descriptors() == before


@pytest.mark.parametrize("interpreter", [Interpreter(), SCRATCH], ids=["plain", "scratch"])
def test_a_killed_worker_is_replaced_and_its_item_done_again(interpreter: Interpreter) -> None:
    sandbox = Sandbox(SandboxConfig(), workers=1)
    try:
        sandbox.run(Program("pass", interpreter=interpreter), Limits())
        for depth in (0, 1, 2):
            found: list[Result] = []
            program = Program("import time; time.sleep(1); print('done')", interpreter=interpreter)
            thread = threading.Thread(
                target=lambda program=program, found=found: found.append(sandbox.run(program, Limits()))
            )
            thread.start()
            assert await_true(lambda: len(_zygote_chain()) == 3)
            os.kill(_zygote_chain()[depth], signal.SIGKILL)
            thread.join()
            assert (found[0].status, found[0].stdout) == ("ok", b"done\n"), (depth, found)
    finally:
        sandbox.close()


def _zygote_chain() -> list[int]:
    """The watcher, the zygote and the program of the one sandbox of this process that is at work."""
    mine = children_of(os.getpid())
    chains = [[pid, *children_of(pid)] for pid in mine]
    return next((chain for chain in chains if len(chain) == 3), [])


def test_a_stopped_worker_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mopd_verifiers.sandbox.running._ANSWER_S", 0.5)
    sandbox = Sandbox(SandboxConfig(), workers=1)
    try:
        sandbox.run(Program("pass"), Limits())
        found: list[Result] = []
        program = Program("import time; time.sleep(0.4); print('done')")
        thread = threading.Thread(target=lambda: found.append(sandbox.run(program, Limits(wall_s=1.5))))
        thread.start()
        assert await_true(lambda: len(_zygote_chain()) == 3)
        os.kill(_zygote_chain()[1], signal.SIGSTOP)
        thread.join()
        assert (found[0].status, found[0].stdout) == ("ok", b"done\n")
    finally:
        sandbox.close()


def _is_armed(pid: int) -> bool:
    """Whether a program has put on its last layer."""
    return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()


def test_a_program_killed_twice_from_outside_is_unknown() -> None:
    sandbox = Sandbox(SandboxConfig(), workers=1)
    try:
        sandbox.run(Program("pass"), Limits())
        found: list[Result] = []
        program = Program("import time; time.sleep(30)")
        thread = threading.Thread(target=lambda: found.append(sandbox.run(program, Limits(wall_s=40.0))))
        thread.start()
        for _ in range(2):
            assert await_true(lambda: any(map(_is_armed, _zygote_chain()[2:])))
            killed = _zygote_chain()[2]
            time.sleep(0.05)
            os.kill(killed, signal.SIGKILL)
            assert await_true(lambda killed=killed: killed not in _zygote_chain())
        thread.join()
        assert found[0].status == "unknown"
        assert "from outside" in found[0].reason
    finally:
        sandbox.close()


TRAINER = """
import sys, threading
from mopd_verifiers.sandbox.api import *
sandbox = Sandbox(SandboxConfig(), workers=1)
sandbox.run(Program("pass"), Limits())
print("ready", flush=True)
sandbox.run(Program("while True: pass"), Limits(wall_s=50.0))
"""


def test_when_the_trainer_is_killed_everything_goes_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", TRAINER], stdout=subprocess.PIPE) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == b"ready\n"
        assert await_true(lambda: len(children_of(trainer.pid)) == 3)
        family = children_of(trainer.pid)
        trainer.kill()
    assert await_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def test_threads_come_and_go() -> None:
    """The worker was started by a thread that has ended since."""
    sandbox = Sandbox(SandboxConfig(), workers=1)
    try:
        for i in range(3):
            found: list[Result] = []
            thread = threading.Thread(
                target=lambda i=i, found=found: found.append(sandbox.run(Program(f"print({i})"), Limits()))
            )
            thread.start()
            thread.join()
            time.sleep(0.05)
            assert found[0].stdout == f"{i}\n".encode()
    finally:
        sandbox.close()
