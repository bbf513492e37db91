"""Verdicts come beside other work, in any number of threads, and none is waited for longer than its deadline."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from mopd_core.errors import DataError, VerifierError
from mopd_core.types import Verdict, VerifyItem
from mopd_core.verification import scheduler as module
from mopd_core.verification.router import RoutedItem, VerifierRouter
from mopd_core.verification.scheduler import CANCELLED, Scheduler

PASSED = Verdict(1.0, "passed")


class Scripted:
    """Does what a response says: `hang` until `let_go` is set, `sleep S`, `raise`, `bad`, or else pass."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.lock = threading.Lock()
        self.seen, self.at_work, self.most_at_work = [], 0, 0

    def verify(self, items):
        (item,) = items
        with self.lock:
            self.seen.append(item.response)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            self.act(*item.response.split())
        finally:
            with self.lock:
                self.at_work -= 1
        return [PASSED]

    def act(self, what, amount="0"):
        if what == "hang":
            self.let_go.wait(30)
        if what == "sleep":
            time.sleep(float(amount))
        if what == "raise":
            raise ZeroDivisionError("oh")
        if what == "exit":
            raise SystemExit(3)
        if what == "interrupt":
            raise KeyboardInterrupt("now")
        if what == "bad":
            raise DataError("prompt 'p': bad reference")


@pytest.fixture
def verifier():
    scripted = Scripted()
    yield scripted
    scripted.let_go.set()


@pytest.fixture
def new_scheduler(verifier):
    made = []

    def make(timeout_s=30.0, calls=4):
        made.append(Scheduler(VerifierRouter("v", {"v": verifier}), timeout_s, calls))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


def routed(response, prompt_id="p"):
    return RoutedItem(VerifyItem(response, "x", prompt_id))


def verdicts_of(scheduler, tickets):
    for ticket in tickets:
        assert scheduler.wait(ticket)
    return [ticket.verdict() for ticket in tickets]


def test_every_item_gets_its_verdict_and_at_most_so_many_are_judged_at_once(new_scheduler, verifier):
    scheduler = new_scheduler(calls=3)
    tickets = [scheduler.submit(routed("sleep 0.01")) for _ in range(30)]
    assert verdicts_of(scheduler, tickets) == [PASSED] * 30
    assert verifier.most_at_work == 3
    assert all(ticket.seconds >= 0.01 for ticket in tickets)


def test_submitting_waits_for_nothing(new_scheduler):
    scheduler = new_scheduler(calls=1)
    start = time.perf_counter()
    ticket = scheduler.submit(routed("sleep 0.3"))
    assert time.perf_counter() - start < 0.2
    assert not scheduler.wait(ticket, 0.0)
    assert not ticket.is_done
    assert scheduler.wait(ticket)


def test_what_is_not_judged_in_time_is_unknown_and_the_rest_goes_on(new_scheduler, caplog):
    scheduler = new_scheduler(timeout_s=0.2, calls=1)
    tickets = [scheduler.submit(routed(response, "p-7")) for response in ("hang", "fine", "hang", "fine")]
    start = time.perf_counter()
    unknown = Verdict(0.0, "unknown", "Not judged: the verifier gave no verdict within 0.2 s.")
    assert verdicts_of(scheduler, tickets) == [unknown, PASSED, unknown, PASSED]
    assert time.perf_counter() - start < 2
    assert caplog.messages[0] == "prompt 'p-7': the verifier gave no verdict within 0.2 s; its verdict is unknown"


def test_a_verdict_that_comes_too_late_is_not_taken_and_its_thread_ends(new_scheduler, verifier):
    scheduler = new_scheduler(timeout_s=0.1, calls=1)
    late = scheduler.submit(routed("hang"))
    assert scheduler.wait(late)
    threads = threading.active_count()
    verifier.let_go.set()
    assert verdicts_of(scheduler, [scheduler.submit(routed("fine"))]) == [PASSED]
    assert late.verdict().status == "unknown"
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads


def test_a_verifier_that_hangs_again_and_again_is_told_of_once(new_scheduler, caplog):
    caplog.set_level(logging.WARNING)
    scheduler = new_scheduler(timeout_s=0.05, calls=2)
    verdicts_of(scheduler, [scheduler.submit(routed("hang")) for _ in range(8)])
    first, again = caplog.messages
    assert "gave no verdict within 0.05 s" in first
    assert again.startswith("the verifier hangs again and again: 3 calls took more than 0.05 s and 3 of them have not")


def test_threads_that_hang_are_replaced_up_to_a_bound(new_scheduler, verifier, monkeypatch):
    monkeypatch.setattr(module, "MOST_STUCK", 3)
    scheduler = new_scheduler(timeout_s=0.05, calls=2)
    tickets = [scheduler.submit(routed("hang")) for _ in range(20)]
    found = verdicts_of(scheduler, tickets)
    assert {verdict.status for verdict in found} == {"unknown"}
    assert found[-1].feedback == "Not judged: earlier calls of the verifier have not returned."
    assert len(verifier.seen) == 3 + 2
    verifier.let_go.set()
    deadline = time.monotonic() + 5
    while verdicts_of(scheduler, [scheduler.submit(routed("fine"))]) != [PASSED]:
        assert time.monotonic() < deadline, "calls that returned at last make room again"


@pytest.mark.parametrize(
    ("response", "error", "message"),
    [
        ("bad", DataError, "prompt 'p': bad reference"),
        ("raise", VerifierError, "'v' raised ZeroDivisionError on prompt 'p': oh"),
        ("exit", VerifierError, "'v' raised SystemExit on prompt 'p': 3"),
        ("interrupt", KeyboardInterrupt, "now"),
    ],
)
def test_what_a_verifier_raises_is_raised_where_the_verdict_is_asked_for(new_scheduler, response, error, message):
    scheduler = new_scheduler()
    ticket, other = scheduler.submit(routed(response)), scheduler.submit(routed("fine"))
    assert verdicts_of(scheduler, [other]) == [PASSED]
    assert scheduler.wait(ticket)
    with pytest.raises(error, match=message):
        ticket.verdict()


def test_cancelling_ends_what_has_not_begun(new_scheduler, verifier):
    scheduler = new_scheduler(calls=1)
    first = scheduler.submit(routed("hang"))
    while not verifier.seen:
        time.sleep(0.001)
    rest = [scheduler.submit(routed("fine")) for _ in range(3)]
    scheduler.cancel()
    assert verdicts_of(scheduler, rest) == [CANCELLED] * 3
    verifier.let_go.set()
    assert verdicts_of(scheduler, [first, scheduler.submit(routed("fine"))]) == [PASSED] * 2


def test_a_closed_scheduler_judges_nothing_and_lets_its_threads_go(new_scheduler, verifier):
    before = threading.active_count()
    scheduler = new_scheduler(calls=4)
    verdicts_of(scheduler, [scheduler.submit(routed("sleep 0.01")) for _ in range(8)])
    scheduler.close()
    assert verdicts_of(scheduler, [scheduler.submit(routed("fine"))]) == [CANCELLED]
    assert "fine" not in verifier.seen
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
