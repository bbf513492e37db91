"""What a run comes back with: statuses, limits, reports, pairs, and programs that do not fit their interpreter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from mopd_core.errors import ConfigError
from mopd_verifiers.sandbox.api import SCRIPT, Interpreter, Limits, Program, Result, Sandbox, SandboxConfig

HELLO = "print('hello', input())"
MODULE = SCRIPT.partition(":")[0]
ENTRIES_SOURCE = '''
import json, os, socket, time

def numbers(job):
    """Report a line for each number in the payload, that many seconds apart."""
    for pause in json.loads(job.payload):
        time.sleep(pause)
        os.write(job.report, f"{pause}\\n".encode())

def flood(job):
    while True:
        os.write(job.report, b"x" * 1000 + b"\\n")

def ask(job):
    with socket.socket(fileno=job.channel) as channel:
        channel.send(b"what?")
        os.write(1, channel.recv(100))

def answer(job):
    with socket.socket(fileno=job.channel) as channel:
        channel.send(channel.recv(100) + job.source.encode())
        while channel.recv(100):
            pass
        time.sleep(60)

def descriptors(job):
    os.write(1, repr([n for n in range(64) if opened(n)]).encode())

def opened(n):
    try:
        os.fstat(n)
    except OSError:
        return False
    return True
'''
OWN = Interpreter(entries=("entries_for_tests",))


@pytest.fixture(scope="module", autouse=True)
def _entries(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("entries")
    (folder / "entries_for_tests.py").write_text(ENTRIES_SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def own(entry: str, payload: bytes = b"", source: str = "") -> Program:
    return Program(source, payload=payload, entry=f"entries_for_tests:{entry}", interpreter=OWN)


@pytest.mark.parametrize(
    ("source", "status", "exit_code", "signal"),
    [
        ("pass", "ok", 0, None),
        ("1/0", "error", 1, None),
        ("def f(:", "error", 1, None),
        ("import sys; sys.exit(7)", "error", 7, None),
        ("import sys; sys.exit('no')", "error", 1, None),
        ("import sys; sys.exit()", "ok", 0, None),
        ("import os; os._exit(0)", "ok", 0, None),
        ("raise KeyboardInterrupt", "error", 130, None),
        ("import ctypes; ctypes.string_at(0)", "crashed", None, "SIGSEGV"),
        ("import signal, time; signal.setitimer(signal.ITIMER_REAL, 0.1); time.sleep(5)", "crashed", None, "SIGALRM"),
        ("import atexit, os; atexit.register(os._exit, 3)", "error", 3, None),
        ("import sys; sys.stdout = None", "ok", 0, None),
        ("import sys; sys.stdout.close()", "ok", 0, None),
        ("x = [0] * 10**9", "error", 1, None),
        ("x = []\nwhile True: x = [x, 'x' * 10_000]", "error", 1, None),
    ],
)
def test_a_status_says_how_it_ended(
    run: Callable[..., Result], source: str, status: str, exit_code: int | None, signal: str | None
) -> None:
    result = run(source)
    assert (result.status, result.exit_code, result.signal) == (status, exit_code, signal), result


def test_streams_are_kept_apart_and_resources_told(run: Callable[..., Result]) -> None:
    result = run("import sys\nprint('hello', input())\nprint('oh', file=sys.stderr)", stdin=b"you\n")
    assert (result.stdout, result.stderr) == (b"hello you\n", b"oh\n")
    assert 0 < result.cpu_s < 5
    assert 0 < result.wall_s < 5
    assert 1 < result.peak_memory_mb < 200


@pytest.mark.parametrize("source", ["while True: pass", "import time; time.sleep(60)", "input(); input()"])
def test_what_takes_too_long_is_ended_in_time(run: Callable[..., Result], source: str) -> None:
    result = run(source + "\nimport time; time.sleep(60)", Limits(wall_s=0.5), stdin=b"1\n2\n")
    assert result.status == "timeout"
    assert 0.5 <= result.wall_s < 2.5


def test_answering_and_not_ending_is_a_timeout_with_the_answer(run: Callable[..., Result]) -> None:
    result = run("print(42, flush=True)\nimport time; time.sleep(60)", Limits(wall_s=0.3))
    assert (result.status, result.stdout) == ("timeout", b"42\n")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_capped_at_the_limit(run: Callable[..., Result], stream: str) -> None:
    at_limit = run(f"import sys; sys.{stream}.write('x' * 5000)", Limits(output_bytes=5000))
    assert (at_limit.status, len(getattr(at_limit, stream))) == ("ok", 5000)
    over = run(f"import sys; sys.{stream}.write('x' * 5001)", Limits(output_bytes=5000))
    assert (over.status, len(getattr(over, stream))) == ("output", 5000)
    endless = run(f"import sys\nwhile True: sys.{stream}.write('x' * 999)", Limits(wall_s=20.0))
    assert (endless.status, len(getattr(endless, stream))) == ("output", 1 << 20)


def test_memory_comes_on_top_of_what_the_interpreter_holds(run: Callable[..., Result]) -> None:
    assert run("x = bytearray(60 << 20)", Limits(memory_mb=96)).status == "ok"
    short = run("x = bytearray(100 << 20)", Limits(memory_mb=96))
    assert short.status == "error"
    assert b"MemoryError" in short.stderr


def test_a_report_is_told_line_by_line_and_can_stop_the_program(sandbox: Sandbox) -> None:
    seen: list[bytes] = []

    def take(line: bytes) -> bool:
        seen.append(line)
        return len(seen) < 2

    stopped = sandbox.run(own("numbers", b"[0.1, 0.2, 0.3, 30]"), Limits(), take)
    assert (stopped.status, seen, stopped.report) == ("stopped", [b"0.1", b"0.2"], (b"0.1", b"0.2"))
    assert stopped.wall_s < 5
    whole = sandbox.run(own("numbers", b"[0, 0.1]"), Limits())
    assert (whole.status, whole.report) == ("ok", (b"0", b"0.1"))
    flood = sandbox.run(own("flood"), Limits(output_bytes=10_000))
    assert (flood.status, len(flood.report)) == ("output", 9)


def test_a_step_has_a_limit_of_its_own(sandbox: Sandbox) -> None:
    assert sandbox.run(own("numbers", b"[0.3, 0.3, 0.3]"), Limits(step_s=2.0)).status == "ok"
    slow = sandbox.run(own("numbers", b"[0.1, 30]"), Limits(step_s=0.5))
    assert (slow.status, slow.report) == ("timeout", (b"0.1",))
    assert 0.5 < slow.wall_s < 3


def test_a_pair_talks_and_the_second_ends_with_the_first(sandbox: Sandbox) -> None:
    first, second = sandbox.run_pair(own("ask"), own("answer", source=" that"), Limits())
    assert (first.status, first.stdout) == ("ok", b"what? that")
    assert second.status == "stopped"
    assert second.wall_s < 5


def test_a_first_outlives_its_second(sandbox: Sandbox) -> None:
    first, second = sandbox.run_pair(own("numbers", b"[1.0]"), Program("1/0"), Limits())
    assert (first.status, second.status) == ("ok", "error")


def test_an_entry_has_its_descriptors_and_a_script_only_the_streams(sandbox: Sandbox) -> None:
    assert sandbox.run(own("descriptors"), Limits()).stdout == b"[0, 1, 2, 3]"
    assert sandbox.run_pair(own("descriptors"), own("answer"), Limits())[0].stdout == b"[0, 1, 2, 3, 4]"
    source = ENTRIES_SOURCE + "descriptors(None)"
    assert sandbox.run(Program(source), Limits()).stdout == b"[0, 1, 2]"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (Program("", entry="os:system"), "not in the interpreter's entries"),
        (Program("", files={"a": b""}), "no scratch folder"),
        *(
            (
                Program("", files={name: b""}, interpreter=Interpreter(scratch=True)),
                "does not lie in the scratch folder",
            )
            for name in ("/etc/x", "../x", "a/../../x", "", ".", "a\0b")
        ),
    ],
)
def test_a_program_that_does_not_fit_is_the_callers_mistake(sandbox: Sandbox, program: Program, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sandbox.run(program, Limits())


@pytest.mark.parametrize("field", ["packages", "entries"])
def test_a_package_that_is_not_installed_is_named(sandbox: Sandbox, field: str) -> None:
    interpreter = Interpreter(**{field: (MODULE, "no_such_package")[field == "packages" :]})
    with pytest.raises(ConfigError, match="no_such_package"):
        sandbox.prepare(interpreter)


def test_after_closing_everything_is_unknown_at_once() -> None:
    sandbox = Sandbox(SandboxConfig(), workers=1)
    results: list[Result] = []
    thread = threading.Thread(
        target=lambda: results.append(sandbox.run(Program("while True: pass"), Limits(wall_s=60.0)))
    )
    thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    sandbox.close()
    sandbox.close()
    thread.join()
    results.append(sandbox.run(Program("pass"), Limits()))
    assert time.monotonic() - started < 5
    assert [(result.status, result.reason) for result in results] == [("unknown", "the sandbox was closed")] * 2
