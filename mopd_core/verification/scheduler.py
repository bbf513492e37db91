"""Judges items on threads, beside whatever else the process does; no verdict is waited for longer than its deadline.

The router decides who judges an item; this file only when. A call that is over its deadline gets the verdict *unknown*,
and its thread is given up: nothing can end it, so a fresh one takes its place, up to a bound.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass

from mopd_core.types import Verdict
from mopd_core.verification.router import RoutedItem, VerifierRouter

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S = 600.0
MOST_STUCK = 64
"""Calls that did not return for which fresh threads are started; each further one costs a thread of those at work."""
_LOOK_EVERY_S = 0.25
"""How late a deadline may be noticed."""


def _unknown(reason: str) -> Verdict:
    return Verdict(0.0, "unknown", f"Not judged: {reason}.")


CANCELLED = _unknown("it was cancelled")


def default_calls() -> int:
    """Items judged at once where nobody says: more than verifiers have workers, so that none of those has to wait."""
    return min(32, max(8, 2 * (os.cpu_count() or 1)))


@dataclass(slots=True, eq=False)
class Ticket:
    """One item that was handed in, and what became of it. Times are of `time.perf_counter`, seconds."""

    item: RoutedItem
    began_s: float | None = None
    ended_s: float | None = None
    outcome: Verdict | BaseException | None = None
    """The verdict, or what the verifier raised; None until there is one."""

    @property
    def is_done(self) -> bool:
        return self.outcome is not None

    @property
    def seconds(self) -> float:
        """How long the verifier worked on it; 0 where it never began."""
        return 0.0 if self.began_s is None or self.ended_s is None else self.ended_s - self.began_s

    def verdict(self) -> Verdict:
        """The verdict of a ticket that is done. Raises what the verifier raised."""
        assert self.outcome is not None
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class Scheduler:
    """Judges at most `calls` items at once, one a call, in the order in which they were submitted.

    timeout_s: how long the verifier may take for one item. Threads start when there is work and are daemons: one that
    hangs does not keep the process from ending.
    """

    def __init__(self, router: VerifierRouter, timeout_s: float = DEFAULT_TIMEOUT_S, calls: int | None = None) -> None:
        self._router = router
        self._timeout_s = timeout_s
        self._calls = calls or default_calls()
        self._queue: deque[Ticket] = deque()
        self._running: dict[Ticket, None] = {}  # Oldest first: the first one's deadline is the next.
        self._threads = self._idle = self._stuck = self._expired = 0
        self._closed = False
        lock = threading.RLock()
        self._work = threading.Condition(lock)
        self._progress = threading.Condition(lock)

    def submit(self, item: RoutedItem) -> Ticket:
        """Queue an item; returns at once."""
        ticket = Ticket(item)
        with self._work:
            self._queue.append(ticket)
            if self._closed:
                self.cancel()
            self._look()
            self._work.notify()
        return ticket

    def wait(self, ticket: Ticket, timeout_s: float | None = None) -> bool:
        """Wait until the ticket is done, which it will be, or for `timeout_s` seconds; whether it is done."""
        until = None if timeout_s is None else time.perf_counter() + timeout_s
        with self._progress:
            while not ticket.is_done:
                self._look()
                left = _LOOK_EVERY_S if until is None else min(_LOOK_EVERY_S, until - time.perf_counter())
                if ticket.is_done or left <= 0:
                    break
                self._progress.wait(left)
            return ticket.is_done

    def cancel(self) -> None:
        """End what no verifier has begun with: its outcome is `CANCELLED`."""
        with self._work:
            while self._queue:
                self._end(self._queue.popleft(), CANCELLED, time.perf_counter())

    def close(self) -> None:
        """Cancel all that is queued or ever will be, and let the threads go. Calls that run are not waited for."""
        with self._work:
            self._closed = True
            self.cancel()
            self._work.notify_all()

    def _look(self) -> None:
        """Give up calls that are over their deadline, and start threads for what is queued."""
        now = time.perf_counter()
        while self._running:
            oldest = next(iter(self._running))
            if oldest.began_s is None or now - oldest.began_s < self._timeout_s:
                break
            self._give_up(oldest, now)
        allowed = self._calls - max(0, self._stuck - MOST_STUCK)
        if allowed <= 0:
            while self._queue:
                self._end(self._queue.popleft(), _unknown("earlier calls of the verifier have not returned"), now)
        while self._threads < allowed and self._idle < len(self._queue):
            threading.Thread(target=self._judge_queued, name="verification", daemon=True).start()
            self._threads += 1
            self._idle += 1

    def _give_up(self, ticket: Ticket, now: float) -> None:
        del self._running[ticket]
        self._threads -= 1
        self._stuck += 1
        self._expired += 1
        reason = f"the verifier gave no verdict within {self._timeout_s:g} s"
        self._end(ticket, _unknown(reason), now)
        level = logging.WARNING if self._expired == 1 else logging.INFO
        log.log(level, "prompt %r: %s; its verdict is unknown", ticket.item.item.prompt_id, reason)
        if self._expired == self._calls + 1:
            log.warning(
                "the verifier hangs again and again: %d calls took more than %g s and %d of them have not returned. "
                "Repair it or give it a limit of its own; what it does not judge stays unknown",
                self._expired,
                self._timeout_s,
                self._stuck,
            )

    def _end(self, ticket: Ticket, outcome: Verdict | BaseException, now: float) -> None:
        ticket.ended_s = now
        ticket.outcome = outcome
        self._progress.notify_all()

    def _judge_queued(self) -> None:
        """What a thread does: judge until it is not needed any more."""
        while (ticket := self._take()) is not None:
            outcome = self._judge(ticket.item)
            with self._progress:
                if ticket not in self._running:
                    self._stuck -= 1  # Given up long ago: another thread has this one's place.
                    return
                del self._running[ticket]
                self._end(ticket, outcome, time.perf_counter())
                self._idle += 1

    def _take(self) -> Ticket | None:
        with self._work:
            while not self._queue and not self._closed:
                self._work.wait()
            self._idle -= 1
            if self._closed:
                self._threads -= 1
                return None
            ticket = self._queue.popleft()
            ticket.began_s = time.perf_counter()
            self._running[ticket] = None
            return ticket

    def _judge(self, item: RoutedItem) -> Verdict | BaseException:
        try:
            return self._router.verify([item])[0]
        except BaseException as error:  # Between threads: it is raised again where the verdict is waited for.
            return error
