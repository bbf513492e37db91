"""Tiles: the few rows of a chunk that are worked on at once, entry by entry, so that they stay in a core's cache.

On a CPU every thread works on tiles of its own, each operation on one core: operations that share out one row among
cores wait for each other at every step, and for whatever else runs on the machine. On a GPU a tile is a good part of a
chunk, since small ones cost more to launch than to run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier

import torch

CPU_ENTRIES = 2**17
"""Entries of a tile's tensor on a CPU, or one row's if those are more. About nine such tensors are in use at once."""

GPU_ENTRIES = 2**20
"""The least entries of a tile on a GPU."""

GPU_PARTS = 8
"""A GPU's tile is this part of a chunk, so that all of a tile's tensors together are about as large as a chunk."""


def slices(length: int, size: int) -> list[slice]:
    """The ranges of at most `size` that make up 0 to `length`, in order."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def for_each_tile(rows: int, vocabulary: int, device: torch.device, work: Callable[[slice], None]) -> None:
    """Do `work` for every tile of a chunk [rows, vocabulary].

    It may run in several threads at once, to which the caller's gradient mode and autocast do not extend. It writes
    what it finds where there is room: small tensors of a thread that outlive its tile would lie between the large ones
    of the next, and the thread's memory would grow.
    """
    on_cpu = device.type == "cpu"
    size = CPU_ENTRIES // vocabulary if on_cpu else max(rows // GPU_PARTS, GPU_ENTRIES // vocabulary)
    tiles, threads = slices(rows, max(1, size)), torch.get_num_threads()

    def run(tile: slice) -> None:
        with torch.autocast(device.type, enabled=False):  # Or the number of tiles would decide whether it is on.
            work(tile)

    if on_cpu and threads > 1 and len(tiles) > 1:
        done = [_workers(threads).submit(run, tile) for tile in tiles]
        wait(done)  # Also where one has failed: the others write into what the caller would let go.
        for each in done:
            each.result()
    else:
        for tile in tiles:
            run(tile)


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads whose operations each run on one core."""
    started = Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # A thread's first use of the number would take it from the process again.
        torch.set_num_threads(1)
        started.wait()

    workers = ThreadPoolExecutor(threads, "mopd-tiles", start)
    for _ in range(threads):
        workers.submit(int)
    started.wait()
    torch.set_num_threads(threads)  # What new threads of the process take was changed too.
    return workers
