"""A generator whose engine is a fleet of servers: the same for every engine, by way of its `ServerApi`.

Every sync brings the weights to the servers (`channels`); a rollout counts only if it was sampled with the present
ones. Rollouts of one group go to one server, which then reads their prompt once.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray

from mopd_backends.collect import in_order
from mopd_backends.servers.addresses import api_key, checked_url
from mopd_backends.servers.api import Sample, ServerApi
from mopd_backends.servers.channels import Channel, hand_over_first
from mopd_backends.servers.config import EngineConfig
from mopd_backends.servers.dispatch import Request
from mopd_backends.servers.faults import Unavailable
from mopd_backends.servers.fleet import Fleet
from mopd_backends.servers.loop_thread import LoopThread
from mopd_backends.servers.managed import ManagedServer, free_port, is_healthy, url_of
from mopd_backends.servers.samples import check_sample, to_rollout
from mopd_backends.servers.server import Limits, Server, Weights
from mopd_backends.servers.weights import WeightFolders, lock_folder
from mopd_backends.snapshots import engine_model
from mopd_core.contexts import ModelContext
from mopd_core.errors import ConfigError
from mopd_core.interfaces import Tokenizer, WeightSource
from mopd_core.output_head import Head
from mopd_core.training.models import StudentWeights
from mopd_core.training.ranks import ALONE, Ranks
from mopd_core.types import Prompt, Rollout, Sampling

log = logging.getLogger(__name__)
T = TypeVar("T")


class ServedGenerator:
    """Samples rollouts with a fleet, over the connections of `loop`.

    vocabulary: entries of the student's output head. ranks: those that sync together, each with its own generator; the
    first one writes and sends. channel: how weights get to the servers. resources: closed with this.
    """

    def __init__(
        self,
        api: ServerApi,
        fleet: Fleet,
        loop: LoopThread,
        channel: Channel,
        tokenizer: Tokenizer,
        vocabulary: int,
        ranks: Ranks,
        resources: ExitStack,
    ) -> None:
        self._api = api
        self._fleet = fleet
        self._loop = loop
        self._channel = channel
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ranks = ranks
        self._resources = resources

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> list[list[Rollout]]:
        """Sample len(seeds[p]) rollouts of each prompt p: P lists, in order. Raises what `stream` raises."""
        return in_order(self.stream(prompts, sampling, seeds=seeds), seeds)

    def stream(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, int, Rollout]]:
        """Yield (p, i, rollout) when rollout i of prompt p ends; all are asked for at once.

        Closing it early cancels what is in flight. Raises `ConfigError` for prompts longer than servers take, and
        `GeneratorError` where no server answers for `max_wait_s`, or one answers what is no answer.
        """
        self._check_lengths(prompts, sampling)
        keys = [(p, i) for p, group in enumerate(seeds) for i in range(len(group))]
        version = self._fleet.version
        requests = [
            Request(p, self._sampler(prompts[p].token_ids.tolist(), sampling, seeds[p][i], version)) for p, i in keys
        ]
        for number, sample in self._answers(requests):
            yield *keys[number], to_rollout(sample, sampling, version, self._tokenizer)

    def score(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """log p of every token but the first, [T - 1] float32 each, nats, at temperature 1, unrestricted.

        Sequences are dealt out over the servers.
        """
        requests = [Request(number, self._scorer(ids.tolist())) for number, ids in enumerate(sequences)]
        scores = dict(self._answers(requests))
        return [scores[number] for number in range(len(sequences))]

    def score_each(self, sequences: Sequence[NDArray[np.int32]]) -> list[list[NDArray[np.float32]]]:
        """The same by every server that is well; by any that comes back where none of them answers."""
        questions = [self._scorer(ids.tolist()) for ids in sequences]
        return self._loop.run(self._fleet.run_everywhere(questions)) or [self.score(sequences)]

    def sync_weights(self, weights: WeightSource, version: int) -> None:
        """Have every server take the weights; one that cannot gets them before it samples again.

        Collective. Raises `GeneratorError` where no server takes them.
        """
        self.settle(self._channel.hand_over(weights, version))

    def settle(self, handed_over: Weights) -> None:
        """Sample with weights that the channel has handed over. Collective. Raises as `sync_weights` does."""
        if self._ranks.first:
            self._loop.run(self._fleet.load(handed_over))
            log.info("version %d: %d servers took the weights", handed_over.version, self._fleet.ready)
        taken = self._ranks.broadcast(self._fleet.taken)  # Nobody samples before the servers have them.
        if not self._ranks.first:
            self._loop.run(self._fleet.adopt(handed_over, taken))

    def close(self) -> None:
        """Close connections, end a server that is managed, remove the weights. Calling it twice is fine."""
        self._resources.close()

    def _answers(self, requests: Sequence[Request[T]]) -> Iterator[tuple[int, T]]:
        """(number, answer) of every request, as they come. The queue holds no more than there are requests."""
        arrived: queue.SimpleQueue[tuple[int, T] | None] = queue.SimpleQueue()
        call = self._loop.start(
            self._fleet.run(requests, lambda number, answer: arrived.put((number, answer))),
            on_end=lambda: arrived.put(None),
        )
        try:
            while (item := arrived.get()) is not None:
                yield item
            call.result()
        finally:
            call.stop()

    def _sampler(
        self, ids: Sequence[int], sampling: Sampling, seed: int, version: int
    ) -> Callable[[httpx.AsyncClient], Awaitable[Sample]]:
        async def ask(client: httpx.AsyncClient) -> Sample:
            sample = await self._api.sample(client, ids, sampling, seed)
            if sample.finish_reason == "abort":
                raise Unavailable("it aborted a request")
            if sample.version not in (version, None):
                raise Unavailable(f"it samples with version {sample.version} of the weights, and not with {version}")
            check_sample(sample, sampling, self._vocabulary)
            return sample

        return ask

    def _scorer(self, ids: Sequence[int]) -> Callable[[httpx.AsyncClient], Awaitable[NDArray[np.float32]]]:
        async def ask(client: httpx.AsyncClient) -> NDArray[np.float32]:
            return await self._api.score(client, ids)

        return ask

    def _check_lengths(self, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        limit = self._fleet.max_length
        needed = max((len(prompt.token_ids) for prompt in prompts), default=0) + sampling.max_tokens
        if limit is not None and needed > limit:
            raise ConfigError(
                f"a prompt and its response may have {needed} tokens, and a server takes at most {limit}. Start it "
                "with a longer context, or lower max_tokens or rollout.max_prompt_tokens"
            )


def build_served(api: ServerApi, config: EngineConfig, context: ModelContext) -> ServedGenerator:
    """A generator over `config.urls`, or over a server that is started for it; its servers hold the student's weights.

    Every rank builds one. Raises `ConfigError` for servers that cannot be the student's, or an API key that is not
    there, `GeneratorError` where none can be reached in `max_wait_s`.
    """
    ranks = Ranks(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else ALONE
    with ExitStack() as stack:
        loop = LoopThread("servers")
        stack.callback(loop.close)
        vocabulary = Head(context.student).vocabulary
        home = _home(context, ranks, stack)
        urls, given_up = config.urls, _never
        if config.managed:
            url, given_up = _start_managed(api, config, context, home, loop, ranks, stack)
            urls = (url,)
        if config.sync_folder is not None and ranks.first:
            stack.callback(lock_folder(config.sync_folder).release)
        folders = WeightFolders(config.sync_folder or home / "sync", context, writes=ranks.first)
        stack.callback(folders.close)
        longest = context.longest_rollout
        limits = Limits(config.request_timeout_s, config.max_wait_s, config.concurrency, longest=longest)
        key = api_key(config.api_key_env, "generator")
        servers = [Server(checked_url(url, "generator"), api, vocabulary, limits, key) for url in urls]
        fleet = Fleet(servers, config.max_wait_s, given_up)
        stack.callback(lambda: loop.run(fleet.close()))
        channel, handed_over = hand_over_first(
            api, config, context, fleet, loop, folders, ranks, StudentWeights(context.student)
        )
        stack.callback(channel.close)
        resources = ExitStack()
        generator = ServedGenerator(api, fleet, loop, channel, context.tokenizer, vocabulary, ranks, resources)
        generator.settle(handed_over)
        resources.push(stack.pop_all())
    return generator


def _never() -> str | None:
    """Servers that others started may always come back."""
    return None


def _home(context: ModelContext, ranks: Ranks, stack: ExitStack) -> Path:
    """Where what servers need and say is kept: the run's folder, else a temporary one."""
    if context.folder is not None:
        return context.folder
    home = Path(ranks.broadcast(tempfile.mkdtemp(prefix="mopd-") if ranks.first else ""))
    if ranks.first:
        stack.callback(shutil.rmtree, home)
    return home


def _start_managed(
    api: ServerApi,
    config: EngineConfig,
    context: ModelContext,
    home: Path,
    loop: LoopThread,
    ranks: Ranks,
    stack: ExitStack,
) -> tuple[str, Callable[[], str | None]]:
    """The URL of a server that the first rank starts, and on that rank, whether it will not come back."""
    if ranks.count > int(os.environ.get("LOCAL_WORLD_SIZE", ranks.count)):
        raise ConfigError(
            "generator.managed starts one server, which only the first machine can reach; start servers yourself "
            "(mopd serve) and name them in generator.urls"
        )
    if not ranks.first:
        return ranks.broadcast(""), _never
    config.check_startable()
    port = free_port()
    command = api.command(engine_model(context.model_path, context.model_revision), port, context.longest_rollout)
    url = url_of(command, port)
    server = ManagedServer(command, api.environment(), home / "server.log")
    stack.callback(server.stop)
    log.info("started a server at %s; its output goes to %s", url, home / "server.log")
    server.wait_until(lambda: loop.run(is_healthy(api, url)), config.max_wait_s)
    return ranks.broadcast(url), server.given_up
