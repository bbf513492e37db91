"""Seconds by part: from a clock on the CPU, from events on the stream on CUDA."""

from __future__ import annotations

import time

import pytest
import torch

from mopd_core.training.stopwatch import Stopwatch


class ScriptedStream:
    """What lies on a stream: an event has a time only once the device has come to it."""

    def __init__(self):
        self.now_ms, self.waits = 0.0, 0

    def event(self, device, enable_timing):
        assert (device.type, enable_timing) == ("cuda", True)
        return ScriptedEvent(self)


class ScriptedEvent:
    def __init__(self, stream):
        self.stream = stream

    def record(self):
        self.at_ms = self.stream.now_ms

    def synchronize(self):
        self.stream.waits += 1

    def elapsed_time(self, end):
        return end.at_ms - self.at_ms


def test_blocks_of_one_name_add_up(monkeypatch):
    ticks = iter([1.0, 1.5, 2.0, 2.25, 3.0, 5.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    stopwatch = Stopwatch(torch.device("cpu"))
    for part in ("head", "teacher", "head"):
        with stopwatch(part):
            pass
    assert stopwatch.seconds() == {"head": 2.5, "teacher": 0.25}


def test_on_cuda_nothing_is_waited_for_until_the_end(monkeypatch):
    stream = ScriptedStream()
    monkeypatch.setattr(torch, "Event", stream.event)
    stopwatch = Stopwatch(torch.device("cuda"))
    for part, milliseconds in (("head", 40), ("teacher", 2), ("head", 8)):
        with stopwatch(part):
            stream.now_ms += milliseconds
        stream.now_ms += 100
    assert stream.waits == 0
    assert stopwatch.seconds() == stopwatch.seconds() == pytest.approx({"head": 0.048, "teacher": 0.002})
    assert stream.waits == 3


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_ends_with_an_exception_does_not_count(monkeypatch, device):
    monkeypatch.setattr(torch, "Event", ScriptedStream().event)
    stopwatch = Stopwatch(torch.device(device))
    with pytest.raises(torch.OutOfMemoryError), stopwatch("student"):
        raise torch.OutOfMemoryError
    assert stopwatch.seconds() == {}
