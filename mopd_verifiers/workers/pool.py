"""A pool of workers: jobs in, one outcome a job out, in order, and nothing waits for ever.

A *slot* is a thread that owns one worker: it starts it, keeps a few jobs in its pipe, kills it when the job at the head
is over its limit, and replaces it when it dies. Slots live until `close`, because a worker dies with the thread that
started it. A new way for a job to end gets a class beside `Reply`.
"""

from __future__ import annotations

import json
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mopd_verifiers.workers.process import StartError, WorkerProcess

_OWN_FAULT = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
_ATTEMPTS = 2
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The worker answered."""

    value: Any


@dataclass(frozen=True, slots=True)
class Expired:
    """The job took longer than its limit; its worker was killed."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The job brought down two workers by a fault inside them (a stack that overflowed): the job's own doing."""

    signal: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The job could not be done and not by its own fault: killed from outside, no worker starts, pool closed."""

    reason: str


Outcome: TypeAlias = Reply | Expired | Crashed | Lost


class PoolClosedError(Exception):
    """`run` was called after `close`."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is: a module that calls `child.serve`, its memory limit in MiB, and how long it may take to start.

    depth: jobs in a worker's pipe at once, the one at work included; more than one hides the way there and back.
    """

    module: str
    memory_mb: int
    start_timeout_s: float = 60.0
    depth: int = 4


@dataclass(slots=True)
class _Job:
    line: bytes
    timeout_s: float
    outcome: Future[Outcome] = field(default_factory=Future)
    deaths: int = 0


class WorkerPool:
    """`size` workers, started when there is work. Any number of threads may call `run` at once."""

    def __init__(self, spec: WorkerSpec, size: int) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._slots = [_Slot(spec, self._jobs, size) for _ in range(size)]
        self._lock = threading.Lock()
        self._started = False
        self._closed = False

    def run(self, values: Sequence[Any], timeout_s: float) -> list[Outcome]:
        """Do the jobs, each within `timeout_s` seconds of wall time of its own; one outcome a job, in order."""
        jobs = [_Job(json.dumps(value).encode() + b"\n", timeout_s) for value in values]
        with self._lock:
            if self._closed:
                raise PoolClosedError
            if not self._started:
                for slot in self._slots:
                    slot.start()
                self._started = True
            for job in jobs:
                self._jobs.put(job)
        return [job.outcome.result() for job in jobs]

    def close(self) -> None:
        """End all workers; what still runs is lost. Calling it twice is fine."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if not self._started:
            return
        for slot in self._slots:
            slot.stop()
        for _ in self._slots:
            self._jobs.put(None)
        for slot in self._slots:
            slot.join()
        while not self._jobs.empty():
            if job := self._jobs.get():
                job.outcome.set_result(Lost("the pool was closed"))


class _Slot(threading.Thread):
    """One worker and the jobs in its pipe, the head being at work."""

    def __init__(self, spec: WorkerSpec, jobs: queue.SimpleQueue[_Job | None], slots: int) -> None:
        super().__init__(name=f"worker of {spec.module}", daemon=True)
        self._spec = spec
        self._jobs = jobs
        self._slots = slots
        self._taken: deque[_Job] = deque()
        self._posted = 0
        self._worker: WorkerProcess | None = None
        self._served = 0
        self._head_since = 0.0
        self._pause_s = 0.0
        self._paused_until = 0.0
        self._start_failure = ""
        self._stopping = False

    def stop(self) -> None:
        """Have the thread end soon, whatever its worker is doing; where it waits for a job, None has to wake it."""
        self._stopping = True
        if worker := self._worker:
            worker.kill()

    def run(self) -> None:
        try:
            while not self._stopping:
                self._take()
                if self._taken and not self._stopping:
                    self._advance()
        finally:
            self._drop_worker()
            while self._taken:
                self._finish(Lost("the pool was closed"))

    def _take(self) -> None:
        """Wait for a job if there is none; take more only while the other slots have as many to take."""
        while not self._taken or len(self._taken) < min(self._spec.depth, 1 + self._jobs.qsize() // self._slots):
            try:
                job = self._jobs.get(block=not self._taken)
            except queue.Empty:
                return
            if job is None:
                return
            self._taken.append(job)

    def _advance(self) -> None:
        """One turn: post what is not posted, wait for answers until the head's limit, and act on what happened."""
        worker = self._worker or self._start_worker()
        if worker is None:
            self._finish(Lost(self._start_failure))
            return
        if not self._posted:
            self._head_since = time.monotonic()
        while self._posted < len(self._taken):
            worker.post(self._taken[self._posted].line)
            self._posted += 1
        lines = worker.receive(max(0.0, self._head_since + self._taken[0].timeout_s - time.monotonic()))
        for line in lines:
            self._served += 1
            self._posted -= 1
            self._head_since = time.monotonic()
            self._finish(Reply(json.loads(line)))
        if worker.ended:
            self._bury()
        elif not lines:
            self._drop_worker()
            self._finish(Expired())

    def _finish(self, outcome: Outcome) -> None:
        self._taken.popleft().outcome.set_result(outcome)

    def _start_worker(self) -> WorkerProcess | None:
        """A new worker, or None: after a failure no further start is tried for a pause that doubles each time."""
        if time.monotonic() < self._paused_until:
            return None
        spec = self._spec
        try:
            self._worker = WorkerProcess(spec.module, [str(spec.memory_mb)], spec.start_timeout_s)
        except StartError as error:
            self._pause_s = min(self._pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
            self._paused_until = time.monotonic() + self._pause_s
            self._start_failure = f"no worker of {spec.module} starts: {error}"
            return None
        self._pause_s = 0.0
        self._posted = self._served = 0
        return self._worker

    def _drop_worker(self) -> int:
        worker, self._worker, self._posted = self._worker, None, 0
        return worker.reap() if worker else 0

    def _bury(self) -> None:
        """The worker is gone. One that retired (code 0) is replaced without blame; else the head used an attempt."""
        retires = self._served > 0
        code = self._drop_worker()
        if not self._taken or (code == 0 and retires):
            return
        head = self._taken[0]
        head.deaths += 1
        if head.deaths < _ATTEMPTS:
            return
        if code < 0 and -code in _OWN_FAULT:
            self._finish(Crashed(signal.Signals(-code).name))
        else:
            ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._finish(Lost(f"{_ATTEMPTS} workers died on it, the last one with {ended}"))
