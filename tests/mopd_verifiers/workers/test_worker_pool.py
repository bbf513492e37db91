from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mopd_verifiers.workers.pool import Crashed, Expired, Lost, PoolClosedError, Reply, WorkerPool, WorkerSpec

HERE = Path(__file__).parent


@pytest.fixture
def make_pool(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    pools = []

    def make(size=1, module="scripted_worker", memory_mb=512, **options):
        pools.append(WorkerPool(WorkerSpec(module, memory_mb, **options), size))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_outcomes_come_in_the_order_of_the_jobs(make_pool):
    values = list(range(100))
    assert make_pool(size=2).run([["echo", value] for value in values], 10) == [Reply(value) for value in values]


def test_no_jobs_start_no_worker(make_pool):
    assert make_pool(module="no_such_module").run([], 1) == []


def test_workers_are_reused(make_pool):
    pool = make_pool()
    assert pool.run([["pid", None]], 10) == pool.run([["pid", None]], 10)


def test_a_job_over_its_limit_expires_and_its_neighbours_do_not(make_pool):
    pool = make_pool()
    start = time.monotonic()
    outcomes = pool.run([["echo", 1], ["sleep", 60], ["echo", 2], ["echo", 3]], 0.5)
    assert outcomes == [Reply(1), Expired(), Reply(2), Reply(3)]
    assert time.monotonic() - start < 10


def test_each_job_has_a_limit_of_its_own(make_pool):
    assert make_pool().run([["sleep", 0.3]] * 4, 1.0) == [Reply(0.3)] * 4


def test_a_worker_over_the_limit_is_killed(make_pool):
    pool = make_pool()
    (pid,) = pool.run([["pid", None]], 10)
    assert pool.run([["sleep", 60]], 0.2) == [Expired()]
    assert not is_alive(pid.value)


def test_a_job_whose_worker_was_killed_is_tried_once_more(make_pool, tmp_path):
    assert make_pool().run([["signal once", str(tmp_path / "mark")]], 10) == [Reply("second attempt")]


def test_killed_twice_is_lost(make_pool):
    outcomes = make_pool().run([["signal", "SIGKILL"], ["echo", 1]], 10)
    assert isinstance(outcomes[0], Lost)
    assert "signal 9" in outcomes[0].reason
    assert outcomes[1] == Reply(1)


def test_ending_without_an_answer_twice_is_lost(make_pool):
    (outcome,) = make_pool().run([["exit", 0]], 10)
    assert isinstance(outcome, Lost)


def test_a_fault_inside_twice_is_the_jobs_own(make_pool):
    assert make_pool().run([["signal", "SIGSEGV"]], 10) == [Crashed("SIGSEGV")]


def test_memory_is_limited_in_the_worker(make_pool):
    assert make_pool().run([["allocate", 1 << 30], ["allocate", 1 << 20]], 10) == [Reply("MemoryError"), Reply(1 << 20)]


def test_a_worker_that_keeps_half_of_its_memory_retires(make_pool):
    pool = make_pool(memory_mb=512)
    jobs = [["pid", None], ["hoard", 300 << 20], ["pid", None], ["allocate", 300 << 20]]
    first, _, second, allocated = pool.run(jobs, 10)
    assert first != second
    assert allocated == Reply(300 << 20)


def test_what_a_worker_prints_is_not_an_answer(make_pool):
    assert make_pool().run([["print", 1], ["echo", 2]], 10) == [Reply(1), Reply(2)]


def test_jobs_and_answers_larger_than_a_pipe(make_pool):
    text = "x" * 3_000_000
    assert make_pool().run([["echo", text]] * 4, 30) == [Reply(text)] * 4


def test_a_worker_that_does_not_start_loses_its_jobs_with_the_reason(make_pool):
    start = time.monotonic()
    outcomes = make_pool(module="no_such_module").run([["echo", 1]] * 20, 10)
    assert all(isinstance(outcome, Lost) and "no_such_module" in outcome.reason for outcome in outcomes)
    assert time.monotonic() - start < 5, "a failed start has to be paused, not tried for every job"


def test_a_worker_that_is_never_ready_loses_its_jobs(make_pool, tmp_path, monkeypatch):
    (tmp_path / "sleepy_worker.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(str(tmp_path))
    outcomes = make_pool(module="sleepy_worker", start_timeout_s=0.5).run([["echo", 1]] * 2, 10)
    assert all(isinstance(outcome, Lost) and "not ready after 0.5 s" in outcome.reason for outcome in outcomes)


def test_many_threads_share_a_pool(make_pool):
    pool = make_pool(size=2)
    found = {}

    def work(number):
        found[number] = pool.run([["echo", [number, i]] for i in range(20)], 10)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [Reply([number, i]) for i in range(20)] for number in range(5)}


def test_jobs_are_spread_over_the_workers(make_pool):
    pool = make_pool(size=2)
    pids = {outcome.value for outcome in pool.run([["slow pid", 0.5]] * 4, 10)}
    assert len(pids) == 2


def test_a_worker_survives_the_thread_that_first_asked(make_pool):
    pool = make_pool()
    found = []
    thread = threading.Thread(target=lambda: found.extend(pool.run([["pid", None]], 10)))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert pool.run([["pid", None]], 10) == found


def test_close_ends_workers_and_loses_what_runs(make_pool):
    pool = make_pool(size=2)
    pids = {outcome.value for outcome in pool.run([["pid", None]] * 8, 10)}
    found = []
    thread = threading.Thread(target=lambda: found.extend(pool.run([["sleep", 60]] * 12, 60)))
    thread.start()
    time.sleep(0.3)
    start = time.monotonic()
    pool.close()
    pool.close()
    thread.join(5)
    assert time.monotonic() - start < 5
    assert [type(outcome) for outcome in found] == [Lost] * 12
    assert not any(is_alive(pid) for pid in pids)
    with pytest.raises(PoolClosedError):
        pool.run([["echo", 1]], 1)


def test_no_descriptor_is_left(make_pool):
    before = open_descriptors()
    pool = make_pool(size=2)
    pool.run([["echo", 1], ["signal", "SIGKILL"], ["exit", 3], ["sleep", 60]], 0.5)
    pool.close()
    assert open_descriptors() == before


def test_a_busy_worker_dies_with_its_parent():
    program = f"""
        import sys, threading, time
        sys.path.insert(0, {str(HERE)!r})
        from mopd_verifiers.workers.pool import WorkerPool, WorkerSpec
        pool = WorkerPool(WorkerSpec("scripted_worker", 512), 1)
        print(pool.run([["pid", None]], 10)[0].value, flush=True)
        pool.run([["sleep", 60]], 60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone_within(pid, 5)


def test_an_idle_worker_ends_when_its_input_does():
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "scripted_worker", str(os.getpid()), "512"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )
    out, _ = worker.communicate(b'["echo", 7]\n', timeout=20)
    assert (out, worker.returncode) == (b'"ready"\n7\n', 0)
