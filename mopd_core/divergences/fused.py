"""Whether a chunk goes through the fused kernel (`fused_kernel`) or in tiles: the faster one, found by measurement.

Where it can: on a GPU with Triton, with both sides' logits as the kernel reads them, over the whole vocabulary, for a
divergence whose class names its form in an attribute `fused`. A new form is a branch in `fused_kernel` and that name.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from mopd_core.divergences.head_pass import HeadPass
from mopd_core.divergences.token_loss import TokenLoss
from mopd_core.divergences.tokens import HeadTokens, TokenStats
from mopd_core.interfaces import Divergence

log = logging.getLogger(__name__)

Work = Callable[[], None]

REPEATS = 5
DTYPES = {torch.float32, torch.bfloat16, torch.float16}


@cache
def kernels() -> Any:
    """The module of the kernel, None where there is no Triton; torch's CUDA wheels bring it along."""
    return import_module("mopd_core.divergences.fused_kernel") if find_spec("triton") else None


def fused_form(divergence: Divergence) -> str | None:
    """The `fused` of the class that the divergence has its `value_and_grad` from.

    A subclass with a formula of its own inherits the name, but not what it says.
    """
    for kind in type(divergence).__mro__:
        if "value_and_grad" in vars(kind):
            form: str | None = vars(kind).get("fused")
            return form
    return None


def fused_work(
    loss: TokenLoss, head: HeadPass, teacher: Tensor | None, tokens: HeadTokens, count: float, stats: TokenStats
) -> Work | None:
    """The kernel's way through the chunk that `head` has taken, which fills in `stats` and the slope.

    teacher: its logits [n, V]. None where the kernel has no way.
    """
    form, places = fused_form(loss.divergence), head.in_place()
    if form is None or places is None or teacher is None or not loss.outcomes.are_all(teacher.shape[-1]):
        return None
    if not _can_read(places[0], teacher) or kernels() is None:
        return None
    weight = getattr(loss.divergence, "weight", 0.5)
    options = kernels().KernelOptions(form, weight, loss.outcomes.config.temperature, loss.sampling_temperature)

    def work() -> None:
        places = head.in_place()  # Those of now: the head may have taken the chunk again.
        assert places is not None
        stats[:] = kernels().fused_loss(*places, teacher, tokens, count, options)

    return work


def _can_read(logits: Tensor, teacher: Tensor) -> bool:
    """Whether they are where the kernel runs, in dtypes that lose nothing in fp32, and each row in one piece."""
    on_device = logits.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    return on_device and {logits.dtype, teacher.dtype} <= DTYPES and logits.stride(-1) == teacher.stride(-1) == 1


def seconds_of(work: Work, again: Work, device: torch.device) -> float:
    """The median of a few runs of `work`, each after `again`, which is not timed; one more run goes before."""
    taken = []
    for _ in range(REPEATS + 1):
        again()
        _wait_for(device)
        start = time.perf_counter()
        work()
        _wait_for(device)
        taken.append(time.perf_counter() - start)
    again()
    return statistics.median(taken[1:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(slots=True)
class FasterWay:
    """The faster of two ways through a chunk, measured on a run's first and then kept. is_fused: None until then."""

    is_fused: bool | None = None
    measure: Callable[[Work, Work, torch.device], float] = seconds_of

    def run(self, fused: Work, tiled: Work, again: Work, device: torch.device) -> None:
        """Take a chunk one way. `again` brings back the logits that either way overwrites."""
        if self.is_fused is None:
            self.is_fused = self._compare(fused, tiled, again, device)
        (fused if self.is_fused else tiled)()

    def _compare(self, fused: Work, tiled: Work, again: Work, device: torch.device) -> bool:
        try:
            fused_s = self.measure(fused, again, device)
        except kernels().KernelError as error:
            log.warning("the fused head cannot be built for this GPU, so tiles are used: %s", error)
            again()
            return False
        tiled_s = self.measure(tiled, again, device)
        chosen = "fused" if fused_s < tiled_s else "tiled"
        log.info("head: a chunk takes %.3g ms fused and %.3g ms tiled: %s", 1e3 * fused_s, 1e3 * tiled_s, chosen)
        return fused_s < tiled_s
