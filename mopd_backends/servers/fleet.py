"""The servers of a run: which weights they have to have, and requests asked of whichever is well.

What goes wrong in between is `dispatch`'s business. All methods run in one loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import httpx

from mopd_backends.servers.dispatch import Dispatch, Request, T
from mopd_backends.servers.faults import Unavailable
from mopd_backends.servers.server import ANY, Server, Weights
from mopd_core.errors import GeneratorError

log = logging.getLogger(__name__)


def _ignore(number: int, answer: object) -> None:
    """For no requests there are no answers."""


class Fleet:
    """At least one server. given_up: why servers that we started ourselves will not come back, None while they may."""

    def __init__(
        self, servers: Sequence[Server], max_wait_s: float, given_up: Callable[[], str | None] = lambda: None
    ) -> None:
        self.servers = tuple(servers)
        self._max_wait_s = max_wait_s
        self._given_up = given_up
        self._weights: Weights | None = None

    @property
    def version(self) -> int:
        """Of the weights that servers sample with. Raises `GeneratorError` before there are any."""
        return self._current().version

    @property
    def ready(self) -> int:
        """How many servers could sample when they were last asked."""
        return sum(server.ready for server in self.servers)

    @property
    def max_length(self) -> int | None:
        """The longest prompt and response that every server takes, in tokens; None where none of them says."""
        return min((server.max_length for server in self.servers if server.max_length is not None), default=None)

    @property
    def taken(self) -> list[bool]:
        """Which servers, in their order, have taken the present weights."""
        return [server.given is self._weights for server in self.servers]

    async def meet(self) -> None:
        """Find out which servers are well, whatever weights they have; those that were let in last time are waited for.

        Raises `GeneratorError` as `load` does.
        """
        for server in self.servers:
            if server.ready:
                server.failures = 0
        await self._settle(ANY)

    async def load(self, weights: Weights) -> None:
        """Have all servers that were not given these weights load them at once; one that fails is out, and gets them
        when it is back.

        Raises `GeneratorError` where none has them within `max_wait_s`.
        """
        self._weights = weights
        await self._settle(weights)

    async def adopt(self, weights: Weights, taken: Sequence[bool]) -> None:
        """Know that another process has handed these weights to the servers for which `taken` is true."""
        self._weights = weights
        for server, has_them in zip(self.servers, taken, strict=True):
            server.given = weights if has_them else None

    async def run(self, requests: Sequence[Request[T]], emit: Callable[[int, T], None]) -> None:
        """Ask every request once, and hand its number and answer to `emit` when it comes. Raises as `Dispatch.run`."""
        await Dispatch(self.servers, requests, emit, self._current(), self._max_wait_s, self._given_up).run()

    async def run_everywhere(self, questions: Sequence[Callable[[httpx.AsyncClient], Awaitable[T]]]) -> list[list[T]]:
        """Ask all of every server that has the present weights: a list of answers for each; one that fails is out.

        Raises `GeneratorError` as `Dispatch.run` does.
        """
        await self._settle(self._current())
        asked = await asyncio.gather(*(self._ask_all(server, questions) for server in self.servers if server.ready))
        return [answers for answers in asked if answers is not None]

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(server.close() for server in self.servers))

    async def _ask_all(
        self, server: Server, questions: Sequence[Callable[[httpx.AsyncClient], Awaitable[T]]]
    ) -> list[T] | None:
        try:
            return [await server.ask(question) for question in questions]
        except Unavailable as error:
            log.warning("server %s is out until it answers again: %s", server.url, error)
            server.count_out(str(error))
            return None

    async def _settle(self, weights: Weights) -> None:
        await Dispatch[None](self.servers, (), _ignore, weights, self._max_wait_s, self._given_up).settle()

    def _current(self) -> Weights:
        if self._weights is None:
            raise GeneratorError("the servers have been given no weights yet; call sync_weights before generating")
        return self._weights
