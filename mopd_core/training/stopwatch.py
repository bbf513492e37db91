"""How long the device works on each part of a step: what a run's metrics say under `time/learn_*_s`.

Timing must not slow down what it times. On a CPU the work is done when the call returns, and a clock is enough. On CUDA
calls return before their work is done, and to wait for it would leave the device idle between parts: events lie on the
stream instead, and are read once, at the end of the step. A part is timed by a name at the place where it runs.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up seconds by part. A part that ends with an exception does not count."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.Event, torch.Event]] = []

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time the block as `part`; blocks of one name add up. Blocks do not nest."""
        if self._device.type == "cuda":
            start, end = (torch.Event(self._device, enable_timing=True) for _ in range(2))
            start.record()
            yield
            end.record()
            self._events.append((part, start, end))
        else:
            began = time.perf_counter()
            yield
            self._seconds[part] += time.perf_counter() - began

    def seconds(self) -> dict[str, float]:
        """Seconds by part so far; on CUDA it waits for the last part to end."""
        for part, start, end in self._events:
            end.synchronize()
            self._seconds[part] += start.elapsed_time(end) / 1e3
        self._events.clear()
        return dict(self._seconds)
