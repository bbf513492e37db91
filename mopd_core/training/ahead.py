"""Rollouts of coming steps, sampled by one background thread in the order of steps; at most `max_staleness` ahead.

Step t may be sampled once step t - 1 - max_staleness is finished, so its rollouts lack at most `max_staleness` updates
of the weights that train on them. Weights change only between two steps' sampling (`paused`), so that all rollouts of a
step on a rank have one version. With max_staleness 1 that version does not depend on timing; above it may, and every
rollout says which it was. At 0 there is no thread: `take` samples.

Rollouts that were sampled ahead are not saved: a resumed run samples its first steps with the weights that it starts
from, and so ends elsewhere than the run that was not cut, unless `max_staleness` is 0.

Torch's grad, inference and autocast modes belong to a thread: the worker has their defaults, as has the main thread
when it samples. Its number of threads is the process's, so that on a CPU both sides take as many. On CUDA the worker
queues its kernels on a stream of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from mopd_core.types import RolloutGroup

log = logging.getLogger(__name__)
T = TypeVar("T")

CLOSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Sampled(Generic[T]):
    """What sampling a step gave, and how long it took, in seconds."""

    rollouts: T
    seconds: float


class Ahead(Generic[T]):
    """Gives the rollouts of one step after the other; the thread starts with the first one that is taken.

    sample(step, is_wanted): samples a step; what it gives once `is_wanted()` is false is dropped. It is called by one
    thread at a time, and makes no collective call. last: the last step of the run.
    """

    def __init__(
        self, sample: Callable[[int, Callable[[], bool]], T], last: int, max_staleness: int, device: torch.device
    ) -> None:
        self._sample = sample
        self._last = last
        self._max_staleness = max_staleness
        self._device = device
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._next = last + 1  # Nothing is due until the worker starts.
        self._finished = 0
        self._sampling: int | None = None
        self._ready: dict[int, Sampled[T]] = {}
        self._error: BaseException | None = None
        self._is_paused = self._is_closed = False

    def take(self, step: int) -> Sampled[T]:
        """The rollouts of a step: the first one of the run, or the one after the step that was taken before.

        Waits until they are there. Raises what sampling them has raised; the steps before it are not touched by that.
        """
        if self._max_staleness == 0:
            return self._timed(step)
        if self._thread is None:
            self._start(step)
        with self._changed:
            self._changed.wait_for(lambda: step in self._ready or self._error is not None)
            if self._error is not None and step not in self._ready:
                raise self._error
            return self._ready.pop(step)

    def finished(self, step: int) -> None:
        """The step that was taken last is done: its weights were handed over (`paused`), or it changed none."""
        with self._changed:
            self._finished = step
            self._give_work()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While the block runs, nothing is sampled in the background: it may use the generator, and change its weights.

        Waits for the step that is being sampled. Where the block raises, it stays so.
        """
        with self._changed:
            self._is_paused = True
            self._changed.wait_for(lambda: self._sampling is None)
        yield
        self._settle()
        with self._changed:
            self._is_paused = False
            self._give_work()

    def close(self) -> None:
        """Let the worker end; it drops the step that it is sampling, and is left behind if it cannot soon.

        A generator that does not stream ends with the whole step. The thread does not keep the process from ending.
        Calling it twice is fine.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
            if self._thread.is_alive():
                log.warning("sampling of a later step has not ended within %g s; it is left to itself", CLOSE_S)

    def _start(self, step: int) -> None:
        lane: AbstractContextManager[object] = nullcontext()
        if self._device.type == "cuda":
            lane = torch.cuda.stream(torch.cuda.Stream(self._device))  # type: ignore[no-untyped-call]
        self._thread = threading.Thread(target=self._work, args=(lane,), name="rollouts ahead", daemon=True)
        self._settle()
        self._next = step
        self.finished(step - 1)
        self._thread.start()

    def _give_work(self) -> None:
        """Hand the worker its next step if one is due: with every change, so that a slow thread cannot be overtaken."""
        due = self._next <= min(self._last, self._finished + 1 + self._max_staleness)
        if due and self._sampling is None and self._error is None and not self._is_paused:
            self._sampling = self._next
            self._next += 1
        self._changed.notify_all()

    def _work(self, lane: AbstractContextManager[object]) -> None:
        """What the thread does."""
        with lane:
            while (step := self._awaited()) is not None:
                try:
                    sampled = self._timed(step)
                    self._settle()
                except BaseException as error:  # Between threads: it is raised again where the step is waited for.
                    self._end({}, error)
                else:
                    self._end({step: sampled})

    def _awaited(self) -> int | None:
        """Wait for a step to sample; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._sampling is not None or self._is_closed)
            if self._is_closed:
                self._sampling = None
            return self._sampling

    def _end(self, ready: dict[int, Sampled[T]], error: BaseException | None = None) -> None:
        with self._changed:
            self._ready |= ready
            self._error = error
            self._sampling = None
            self._give_work()

    def _timed(self, step: int) -> Sampled[T]:
        start = time.perf_counter()
        rollouts = self._sample(step, lambda: not self._is_closed)
        return Sampled(rollouts, time.perf_counter() - start)

    def _settle(self) -> None:
        """Wait for what this thread has queued on the device, so that weights are whole when they change hands."""
        if self._thread is not None and self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()


def staleness_metrics(
    groups: Iterable[RolloutGroup], updates: Sequence[int], logprobs: Tensor, behaviour_logprobs: Tensor
) -> dict[str, float]:
    """How old a step's rollouts are, and how much that matters.

    updates: the steps so far that changed the generator's weights, rising; a rollout's staleness is how many of them
    its version lacks. logprobs, behaviour_logprobs: [n] float32, nats, of the sampled tokens under the weights that are
    trained and those that sampled; the former NaN where a token is not trained on. The importance of a token is the
    ratio of the two probabilities, before any clipping: near 1 on average, and far from it where rollouts are too old.
    """
    ages = [len(updates) - bisect_right(updates, each.version) for group in groups for each in group.rollouts]
    metrics = {"staleness/mean": sum(ages) / max(len(ages), 1), "staleness/max": float(max(ages, default=0))}
    trained = ~logprobs.isnan()
    if bool(trained.any()):
        importance = (logprobs - behaviour_logprobs)[trained].exp()
        metrics["staleness/importance_mean"] = importance.mean().item()
        metrics["staleness/importance_max"] = importance.max().item()
    return metrics
