"""How a chunk is cut into tiles, and that a CPU's threads share them out without changing how anything else runs."""

from __future__ import annotations

from threading import Thread, current_thread

import pytest
import torch

from mopd_core.divergences import tiles
from mopd_core.divergences.tiles import for_each_tile, slices

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def of_tiles(rows, vocabulary, device, value):
    """Its value of every tile, in the order of their rows."""
    found = {}
    for_each_tile(rows, vocabulary, device, lambda tile: found.update({tile.start: value(tile)}))
    return [found[start] for start in sorted(found)]


def heights(rows, vocabulary, device):
    return of_tiles(rows, vocabulary, device, lambda tile: tile.stop - tile.start)


def test_slices_by_hand():
    assert slices(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert slices(6, 3) == [slice(0, 3), slice(3, 6)]
    assert slices(0, 3) == []


def test_a_tile_is_a_row_of_a_large_vocabulary_on_a_cpu_and_an_eighth_of_a_chunk_on_a_gpu():
    assert heights(5, 151_936, CPU) == [1] * 5
    assert heights(600, 512, CPU) == [256, 256, 88]
    assert heights(294, 151_936, GPU) == [36] * 8 + [6]
    assert heights(5, 151_936, GPU) == [5]


@pytest.mark.usefixtures("two_threads")
def test_threads_share_the_tiles_out(monkeypatch):
    monkeypatch.setattr(tiles, "CPU_ENTRIES", 10)
    values = torch.randn(41, 10, generator=torch.Generator().manual_seed(0))
    sums = of_tiles(41, 10, CPU, lambda tile: (values[tile].sum(), current_thread().name))
    torch.testing.assert_close(torch.stack([value for value, _ in sums]), values.sum(-1))
    assert all(name.startswith("mopd-tiles") for _, name in sums)


@pytest.mark.usefixtures("two_threads")
def test_operations_run_on_one_core_in_the_workers_and_on_all_elsewhere(monkeypatch):
    monkeypatch.setattr(tiles, "CPU_ENTRIES", 10)
    assert of_tiles(4, 10, CPU, lambda tile: torch.get_num_threads()) == [1] * 4
    seen = [torch.get_num_threads()]
    thread = Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [2, 2]


@pytest.mark.usefixtures("two_threads")
def test_what_a_tile_raises_comes_out(monkeypatch):
    monkeypatch.setattr(tiles, "CPU_ENTRIES", 10)
    with pytest.raises(ZeroDivisionError):
        for_each_tile(9, 10, CPU, lambda tile: 1 // (tile.start - 4))
