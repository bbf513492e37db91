"""Groups of rollouts that come in any order, each judged from when it came."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from mopd_core.errors import DataError, VerifierError
from mopd_core.types import Prompt, Rollout, Verdict, VerifyItem
from mopd_core.verification.groups import PendingGroups, caveats_of
from mopd_core.verification.router import VerifierRouter
from mopd_core.verification.scheduler import Scheduler

PASSED, FAILED = Verdict(1.0, "passed"), Verdict(0.0, "failed", "no")


class Contains:
    """Passes a response that holds the reference; `slow` takes a while, `bad` cannot be used, `odd` has a caveat."""

    def __init__(self) -> None:
        self.seen = []

    def verify(self, items):
        self.seen += items
        return [self.judge(item) for item in items]

    def judge(self, item):
        if "slow" in item.response:
            time.sleep(0.05)
        if "bad" in item.response:
            raise DataError(f"prompt {item.prompt_id!r}: bad reference")
        if "odd" in item.response:
            return Verdict(1.0, "passed", None, ("tests and candidate in one process",))
        return PASSED if item.reference in item.response else FAILED


@pytest.fixture
def pending_groups():
    schedulers = []

    def make(prompts, sizes, **verifiers):
        verifiers = verifiers or {"first": Contains()}
        schedulers.append(Scheduler(VerifierRouter("first", verifiers), 30.0, 4))
        return PendingGroups(schedulers[-1], prompts, sizes)

    yield make
    for scheduler in schedulers:
        scheduler.close()


def rollout(text, finish_reason="stop"):
    return Rollout(np.zeros(1, np.int32), np.zeros(1, np.float32), text, finish_reason, 0, np.ones(1, np.bool_))


def add_and_wait(pending, index, text):
    """A verdict that comes at once may be seen by either call."""
    pending.add(0, index, rollout(text))
    pending.groups()


def test_prompts_rollouts_and_verdicts_stay_together(pending_groups):
    first, second = Contains(), Contains()
    prompts = [Prompt("a", (), "x"), Prompt("b", (), "y", verifier="second"), Prompt("c", (), "z")]
    rollouts = [[rollout("x"), rollout("y")], [rollout("x"), rollout("y"), rollout("y", "abort")], []]
    pending = pending_groups(prompts, [2, 3, 0], first=first, second=second)
    for p, group in enumerate(rollouts):
        for index, each in enumerate(group):
            pending.add(p, index, each)
    groups = pending.groups(0.5)
    assert [group.prompt.id for group in groups] == ["a", "b", "c"]
    assert [list(group.rollouts) for group in groups] == rollouts
    assert [[verdict.status for verdict in group.verdicts] for group in groups] == [
        ["passed", "failed"],
        ["failed", "passed", "unknown"],
        [],
    ]
    assert {group.threshold for group in groups} == {0.5}
    assert groups[1].successes == (1,)
    assert sorted(item.response for item in first.seen) == sorted(item.response for item in second.seen) == ["x", "y"]


def test_the_order_of_arrival_makes_no_difference(pending_groups):
    prompts = [Prompt(str(p), (), str(p % 3)) for p in range(6)]
    arrivals = [(p, g, rollout(f"{(p + g) % 3}{' slow' * (g == 0)}")) for p in range(6) for g in range(4)]
    results = []
    for seed in range(3):
        pending = pending_groups(prompts, [4] * 6)
        for arrival in random.Random(seed).sample(arrivals, len(arrivals)):
            pending.add(*arrival)
        results.append(pending.groups())
    assert results[0] == results[1] == results[2]


def test_items_carry_what_a_verifier_may_read(pending_groups):
    verifier = Contains()
    messages = ({"role": "user", "content": "?"},)
    pending = pending_groups([Prompt("a", messages, "7")], [1], first=verifier)
    pending.add(0, 0, rollout("t", "length"))
    pending.groups()
    assert verifier.seen == [VerifyItem("t", "7", "a", messages, "length")]


def test_an_error_stops_the_sampling(pending_groups):
    pending = pending_groups([Prompt("a", (), "x")], [1000])
    added = []

    def sample():
        for index in range(1000):
            pending.add(0, index, rollout("bad" if index == 0 else "x"))
            added.append(index)
            time.sleep(0.01)

    with pytest.raises(DataError, match="prompt 'a': bad reference"):
        sample()
    assert len(added) < 900


def test_an_error_is_raised_before_slower_verdicts_are_there(pending_groups):
    class Slow(Contains):
        def judge(self, item):
            if item.response == "first":
                time.sleep(5)
            return super().judge(item)

    pending = pending_groups([Prompt("a", (), "x")], [2], first=Slow())
    start = time.perf_counter()
    pending.add(0, 0, rollout("first"))
    with pytest.raises(DataError):
        add_and_wait(pending, 1, "bad")
    assert time.perf_counter() - start < 3


def test_an_error_as_a_whole_names_the_verifier(pending_groups):
    class Broken:
        def verify(self, items):
            return None

    pending = pending_groups([Prompt("a", (), "x")], [1], first=Broken())
    with pytest.raises(VerifierError, match="'first' returned a NoneType"):
        add_and_wait(pending, 0, "x")


def test_busy_seconds_count_what_overlaps_once(pending_groups):
    pending = pending_groups([Prompt("a", (), "x")], [4])
    start = time.perf_counter()
    for index in range(4):
        pending.add(0, index, rollout("slow x"))
    pending.groups()
    assert 0.05 <= pending.busy_s() <= time.perf_counter() - start


def test_caveats_are_named_once(pending_groups):
    pending = pending_groups([Prompt("a", (), "x")], [3])
    for index, text in enumerate(("odd", "odd", "x")):
        pending.add(0, index, rollout(text))
    assert caveats_of(pending.groups()) == ["tests and candidate in one process"]
