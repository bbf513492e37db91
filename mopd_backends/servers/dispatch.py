"""One set of requests over a fleet: every request is answered exactly once, by whichever server can.

A group stays together and goes to the server with the fewest unfinished requests, once that has room for it. A server
that fails is counted out, what it had not answered goes back to be asked elsewhere, and it is tried again with growing
pauses; until it has answered something it is on probation, with one group at a time. All state changes in the loop's
thread, between two awaits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from mopd_backends.servers.faults import Unavailable
from mopd_backends.servers.server import Server, Weights
from mopd_core.errors import GeneratorError

log = logging.getLogger(__name__)
T = TypeVar("T")

_TIMEOUTS = 3
"""Times that one request may run into the time limit."""

_MUSTER_S = 2.0
"""How long the first requests wait for all servers that were well before, so that no server gets all of them."""

_POLL_S = 1.0
_NOTICE_S = 30.0

_GO_ON = "Nothing of what was saved is lost: once servers answer, `mopd run --resume --out DIR` goes on"


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A question to any server. group: requests with an equal one share a prefix, and one server if possible."""

    group: Hashable
    ask: Callable[[httpx.AsyncClient], Awaitable[T]]


class Dispatch(Generic[T]):
    """Asks `requests` of `servers`, and hands each answer with its request's number to `emit`.

    weights: what a server has to sample with. given_up: why servers that we started ourselves will not come back, None
    while they may.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        requests: Sequence[Request[T]],
        emit: Callable[[int, T], None],
        weights: Weights,
        max_wait_s: float,
        given_up: Callable[[], str | None],
    ) -> None:
        self._servers = servers
        self._requests = requests
        self._emit = emit
        self._weights = weights
        self._max_wait_s = max_wait_s
        self._given_up = given_up
        self._batches = _batches(requests, servers[0].limits.concurrency)
        self._todo: dict[Hashable, list[int]] = {}
        self._timeouts = [0] * len(requests)
        self._left = len(requests)
        self._in_flight = 0
        self._waited_s = 0.0
        self._next_notice_s = _POLL_S
        self._lost: dict[str, GeneratorError] = {}
        self._unheard = {server.url for server in servers if not server.failures}
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        for number, batch in enumerate(self._batches):
            self._todo.setdefault(batch, []).append(number)

    async def settle(self) -> None:
        """Let servers in. Returns when one is in at least, and every one that was well before is, or has failed.

        Raises as `run` does.
        """
        async with self._admission():
            while self._unheard or not self._has_ready():
                await self._change()

    async def run(self) -> None:
        """Return when every request is answered.

        Raises `GeneratorError` where asking again is of no use, or nothing could be asked for `max_wait_s`, and
        `ConfigError` for a server of another model; what is in flight is then cancelled.
        """
        async with self._admission():
            with suppress(TimeoutError):
                async with asyncio.timeout(_MUSTER_S):
                    while self._unheard:
                        await self._change()
            while self._left:
                self._assign()
                await self._change()

    @asynccontextmanager
    async def _admission(self) -> AsyncIterator[None]:
        """Try to let all servers in while the block runs; when it ends, however it does, nothing is left running."""
        for server in self._servers:
            server.ready, server.unfinished = False, 0
            self._spawn(self._admit(server))
        try:
            yield
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _admit(self, server: Server) -> None:
        is_over = False
        while not is_over:
            await asyncio.sleep(server.delay())
            try:
                await server.admit(self._weights)
                is_over = True
                if server.failures:
                    log.info("server %s is back", server.url)
            except Unavailable as error:
                self._count_out(server, str(error))
            except GeneratorError as error:
                self._lost[server.url] = error
                self._count_out(server, str(error))
                is_over = True
            self._unheard.discard(server.url)
            self._changed.set()

    async def _ask(self, server: Server, number: int) -> None:
        try:
            answer = await server.ask(self._requests[number].ask)
        except Unavailable as error:
            if error.timed_out:
                self._count_timeout(server, number)
            self._put_back(number)
            if server.ready:
                self._count_out(server, str(error))
                self._spawn(self._admit(server))
        else:
            self._left -= 1
            self._waited_s, self._next_notice_s = 0.0, _POLL_S
            self._emit(number, answer)
        finally:
            server.unfinished -= 1
            self._in_flight -= 1
            self._changed.set()

    def _assign(self) -> None:
        """Hand out batches as long as a server has room."""
        while self._todo:
            batch, numbers = next(iter(self._todo.items()))
            server = self._roomiest(len(numbers))
            if server is None:
                return
            del self._todo[batch]
            for number in numbers:
                server.unfinished += 1
                self._in_flight += 1
                self._spawn(self._ask(server, number))

    def _roomiest(self, size: int) -> Server | None:
        """The server with the fewest unfinished requests, if any has room for `size` more."""

        def has_room(server: Server) -> bool:
            room = 0 if server.failures else server.limits.concurrency - size
            return server.ready and (not server.unfinished or server.unfinished <= room)

        return min(filter(has_room, self._servers), key=lambda server: server.unfinished, default=None)

    def _put_back(self, number: int) -> None:
        """To the front, so that a request which no server can answer is soon known for it."""
        batch = self._batches[number]
        if batch not in self._todo:
            self._todo = {batch: [], **self._todo}
        self._todo[batch].append(number)

    def _count_out(self, server: Server, reason: str) -> None:
        if not server.failures:
            log.warning("server %s is out until it answers again: %s", server.url, reason)
        server.count_out(reason)

    def _count_timeout(self, server: Server, number: int) -> None:
        self._timeouts[number] += 1
        if self._timeouts[number] == _TIMEOUTS:
            self._error = GeneratorError(
                f"one request had no answer in {server.limits.request_s:g} s, {_TIMEOUTS} times, at last from server "
                f"{server.url}. If answers may take that long, raise {server.limits.section}.request_timeout_s; else "
                f"that server hangs, see its log. {_GO_ON}"
            )

    async def _change(self) -> None:
        """Wait until something has happened. Time in which nothing is in flight counts as waiting for servers."""
        start, is_waiting = time.monotonic(), not self._in_flight
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S if is_waiting else None):
                await self._changed.wait()
        self._changed.clear()
        if self._error is not None:
            raise self._error
        if is_waiting:
            self._waited_s += time.monotonic() - start
            self._check_wait()

    def _check_wait(self) -> None:
        if len(self._lost) == len(self._servers):
            raise next(iter(self._lost.values()))
        reason = self._given_up()
        if reason is not None:
            raise GeneratorError(f"{reason} {_GO_ON}")
        if self._waited_s > self._max_wait_s and not self._has_ready():
            raise GeneratorError(
                f"no server could be asked for {self._waited_s:.0f} s ({self._servers[0].limits.section}.max_wait_s is "
                f"{self._max_wait_s:g}): {self._statuses()}. {_GO_ON}"
            )
        if self._waited_s >= self._next_notice_s and any(server.failures for server in self._servers):
            self._next_notice_s = self._waited_s + _NOTICE_S
            log.warning(
                "waiting for a server, %.0f of at most %.0f s: %s", self._waited_s, self._max_wait_s, self._statuses()
            )

    def _has_ready(self) -> bool:
        return any(server.ready for server in self._servers)

    def _statuses(self) -> str:
        return "; ".join(f"{server.url}: {server.status}" for server in self._servers)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            self._changed.set()


def _batches(requests: Sequence[Request[Any]], size: int) -> list[Hashable]:
    """What each request is handed out with: its group, or a part of it where that has more than `size`."""
    seen: dict[Hashable, int] = {}
    batches: list[Hashable] = []
    for request in requests:
        place = seen.get(request.group, 0)
        seen[request.group] = place + 1
        batches.append((request.group, place // size))
    return batches
