"""The processes that train together: which one this is, how work is dealt out to them, and how they end together.

torchrun (or anything that sets RANK and WORLD_SIZE) starts them; one process alone is rank 0 of 1 and joins nothing.
A method that says so is collective: all ranks call it, in the same order. What one rank raises ends all of them, and
one of them says why.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from mopd_core.config.sections import TrainingConfig
from mopd_core.errors import ConfigError, MopdError, TrainingError

log = logging.getLogger(__name__)
T = TypeVar("T")

TIMEOUT = timedelta(hours=2)
"""How long a rank waits for the others: one may have much longer rollouts to sample and to judge."""

GRACE_S = 10.0
"""How long a rank that has nothing to say stays, so that its end does not cut off the one that says what failed."""

_FAILURES = "mopd/failures"


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together. One alone has nobody to talk to, and its methods do nothing."""

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and talks to people."""
        return self.number == 0

    def mine(self, items: Sequence[T]) -> list[T]:
        """Every `count`-th item: this rank's share."""
        return list(items[self.number :: self.count])

    def merge(self, share: Sequence[T]) -> list[T]:
        """All items in their order, from what each rank made of its share (`mine`). Collective."""
        shares = self.gather(list(share))
        return [shares[place % self.count][place // self.count] for place in range(sum(map(len, shares)))]

    def gather(self, value: T) -> list[T]:
        """Every rank's value, in the order of ranks, on every rank; it has to pickle. Collective."""
        if self.count == 1:
            return [value]
        values: list[T] = [value] * self.count
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: T) -> T:
        """The first rank's value, on every rank; it has to pickle. Collective."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank. Collective."""
        if self.count == 1:
            return flag
        found = torch.tensor(int(flag))
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found)

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over all ranks, in place. Collective."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor


ALONE = Ranks()


@contextmanager
def joined(config: TrainingConfig, device: torch.device) -> Iterator[Ranks]:
    """Join the other ranks while the block runs; where a process group exists already, it is used and left alone.

    Of ranks that fail, the first one raises what it was; the others end with `SystemExit` and say nothing.
    Raises `ConfigError` for several ranks where `training.parallel` is none.
    """
    count = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    if config.parallel == "none" and count > 1:
        raise ConfigError(
            f"training.parallel is none, but {count} processes were started to train together; set it to auto, or "
            "start one"
        )
    if dist.is_initialized():
        yield Ranks(dist.get_rank(), dist.get_world_size())
        return
    if count == 1:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, number, count = next(rendezvous("env://", timeout=TIMEOUT))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=TIMEOUT)
    try:
        yield Ranks(number, count)
    except SystemExit:  # Another rank has what there is to say.
        time.sleep(GRACE_S)
        raise
    except BaseException as error:  # Whatever it is, the others must not wait for this rank.
        if not _is_first_failure(store):
            log.info("rank %d ends, as another one failed", number, exc_info=True)
            time.sleep(GRACE_S)
            raise SystemExit(1) from None
        raise _explained(error, number) from error.__cause__
    dist.destroy_process_group()


def _is_first_failure(store: Store) -> bool:
    try:
        return bool(store.add(_FAILURES, 1) == 1)
    except (RuntimeError, dist.DistError):
        return False  # The rank that keeps the store is gone, and has said why.


def _explained(error: BaseException, number: int) -> BaseException:
    """The error as it is to be shown: where it happened, or that another rank is gone."""
    if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
        log.info("rank %d lost another one", number, exc_info=error)
        return TrainingError(
            "another rank ended without a word: it was killed, perhaps for want of memory, or cannot be reached any "
            "more. --resume goes on from the last checkpoint"
        )
    return type(error)(f"rank {number}: {error}") if isinstance(error, MopdError) and number else error
