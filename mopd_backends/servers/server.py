"""One server of a fleet: how it is let in, asked, and counted out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from mopd_backends.servers.api import ServerApi, ServerInfo
from mopd_backends.servers.faults import Unavailable, told_apart
from mopd_backends.servers.group import Group
from mopd_backends.servers.samples import check_sample
from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.types import Sampling

T = TypeVar("T")

_HEALTH_S = 20.0
_CONNECT_S = 10.0
_IDLE_S = 2.0
"""How long an idle connection is kept: less than servers keep theirs, or a request would meet one just closed."""

_PROBE_TOKENS = 8
_PROBE = Sampling(max_tokens=1)
_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 10.0


async def _is_there() -> None:
    """For a folder that was written before anybody asks."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A version, and the folder of safetensors where a server finds it.

    write: makes sure of the folder; raises `GeneratorError` where that is not possible now.
    """

    folder: Path
    version: int
    write: Callable[[], Awaitable[None]] = _is_there


ANY = Weights(Path(), -1)
"""Wanted of servers that are only to be found well: they keep what they have."""


@dataclass(frozen=True, slots=True)
class Limits:
    """request_s: one answer; load_s: taking a set of weights, in seconds; concurrency: requests in flight.

    section: where these stand in a run's config. longest: a prompt and its response may have so many tokens.
    """

    request_s: float
    load_s: float
    concurrency: int
    section: str = "generator"
    longest: int = 0


@dataclass(eq=False, slots=True)
class Server:
    """A server at `url`. The key stands in the client's headers alone, and here to be struck out of messages.

    ready: it has what it needs to sample. known: it has been that before. unfinished: requests in flight. failures: in
    a row, since it last answered. given: the weights that it took from us and, as far as we know, still has. group:
    over which it is sent them, while it has been well since it joined.
    status: for people; of one that has not answered since it failed, why it failed.
    """

    url: str
    api: ServerApi
    vocabulary: int
    limits: Limits
    key: str | None = field(default=None, repr=False)
    ready: bool = field(default=False, init=False)
    known: bool = field(default=False, init=False)
    unfinished: int = field(default=0, init=False)
    failures: int = field(default=0, init=False)
    status: str = field(default="not asked yet", init=False)
    given: Weights | None = field(default=None, init=False)
    group: Group | None = field(default=None, init=False)
    max_length: int | None = field(default=None, init=False)
    _client: httpx.AsyncClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=self.limits.concurrency,
                keepalive_expiry=_IDLE_S,
            ),
            trust_env=False,  # Engines stand beside the trainer; a proxy for the way outside would lose them.
        )

    async def ask(self, question: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        """One answer, within `request_s`. Raises `Unavailable` or `GeneratorError`."""
        with told_apart(self.url, self.key, self.limits.section):
            async with asyncio.timeout(self.limits.request_s):
                answer = await question(self._client)
        self.failures, self.status = 0, "ready"
        return answer

    async def admit(self, wanted: Weights) -> None:
        """Make sure that it serves the student's vocabulary and has these weights, and then let it in.

        It takes the weights unless it was given them and still says their version: one that was started again does not.
        A health check may cost a second, so one that was well so far is not asked for it. Raises `Unavailable`,
        `GeneratorError`, or `ConfigError` for another model.
        """
        reason = self.status
        with told_apart(self.url, self.key, self.limits.section):
            async with asyncio.timeout(_HEALTH_S):
                if (self.failures or not self.known) and not await self.api.healthy(self._client):
                    raise Unavailable("it says that it is not healthy")
                info = await self.api.info(self._client)
            self._check(info)
            if wanted is not ANY and (self.given is not wanted or info.version != wanted.version):
                self.status = f"it takes the weights of version {wanted.version}"
                self.leave_group()
                await wanted.write()
                async with asyncio.timeout(self.limits.load_s):
                    await self.api.load_weights(self._client, wanted.folder, wanted.version)
                self.given = wanted
            if not self.known:
                await self._probe()
        self.ready = self.known = True
        self.status = reason if self.failures else "ready"

    def count_out(self, reason: str) -> None:
        """Ask it nothing more until it is let in again."""
        self.ready, self.status = False, reason
        self.failures += 1
        self.leave_group()

    def leave_group(self) -> None:
        """Send it nothing more over its group."""
        if self.group is not None:
            self.group.close()
            self.group = None

    def delay(self) -> float:
        """How long to leave it alone before the next try to let it in, in seconds: longer with every failure."""
        if not self.failures:
            return 0.0
        longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(self.failures - 1, 16))
        return longest * random.uniform(0.5, 1.0)

    async def close(self) -> None:
        self.leave_group()
        await self._client.aclose()

    async def _probe(self) -> None:
        """Sample a few tokens once, so that a server of another model is found before a step depends on it."""
        ids = range(min(_PROBE_TOKENS, self.vocabulary))
        try:
            async with asyncio.timeout(self.limits.request_s):
                check_sample(await self.api.sample(self._client, ids, _PROBE, 0), _PROBE, self.vocabulary)
        except GeneratorError as error:
            raise ConfigError(
                f"server {self.url} does not sample as the student would: {error}. Start it with the student's model, "
                "or correct generator.urls"
            ) from None

    def _check(self, info: ServerInfo) -> None:
        self.max_length = info.max_length
        if info.vocabulary is not None and info.vocabulary != self.vocabulary:
            raise ConfigError(
                f"server {self.url} serves {info.model!r} with a vocabulary of {info.vocabulary} entries; the student "
                f"has {self.vocabulary}. Start it with the student's model, or correct generator.urls"
            )
        if info.max_length is not None and info.max_length < self.limits.longest:
            raise ConfigError(
                f"server {self.url} takes at most {info.max_length} tokens, and a prompt and its response may have "
                f"{self.limits.longest}. Start it with a longer context, as `mopd serve` does with this config, or "
                "lower rollout.max_prompt_tokens, or max_tokens of rollout.sampling and evaluation.sampling"
            )
