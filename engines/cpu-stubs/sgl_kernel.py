"""Stands in for SGLang's kernel package on a CPU: any name can be imported, and calling it raises.

Also gives torch the one CPU operator that sampling with a seed needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

U32 = NDArray[np.uint32]


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*args: Any, **options: Any) -> NoReturn:
        raise RuntimeError(f"sgl_kernel.{name} has no CPU version here; run this model on a GPU")

    return missing


def _rotate(x: U32, bits: int) -> U32:
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


def _mix(state: U32, block: U32) -> U32:
    state = state ^ (_rotate(block * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593))
    return _rotate(state, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _finish(state: U32, length: int) -> U32:
    state = state ^ np.uint32(length)
    state = (state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    state = (state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return state ^ (state >> np.uint32(16))


def murmur_hash32_cpu(seed: Tensor, positions: Tensor, columns: Tensor) -> Tensor:
    """MurmurHash3 of (seed, position, column): seed [n] uint64, positions [n], columns [m] -> [n, m] uint32."""
    seeds = seed.numpy()[:, None]
    state = np.zeros((len(seeds), 1), dtype=np.uint32)
    for block in (seeds & np.uint64(0xFFFFFFFF), seeds >> np.uint64(32), positions.numpy()[:, None]):
        state = _mix(state, block.astype(np.uint32))
    state = _mix(state, columns.numpy()[None].astype(np.uint32))
    return torch.from_numpy(_finish(state, 16))


_LIBRARY = torch.library.Library("sgl_kernel", "FRAGMENT")
_LIBRARY.define("murmur_hash32_cpu(Tensor seed, Tensor positions, Tensor columns) -> Tensor")
_LIBRARY.impl("murmur_hash32_cpu", murmur_hash32_cpu, "CPU")
