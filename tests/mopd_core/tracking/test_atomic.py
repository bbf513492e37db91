from __future__ import annotations

from pathlib import Path

import pytest

from mopd_core.tracking.atomic import atomic_folder, link_atomically, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill_half(target: Path) -> None:
    with atomic_folder(target) as folder:
        (folder / "a").write_text("new")
        raise OSError("disk full")


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_atomically(path, b"old")
    (tmp_path / ".config.json.partial").write_bytes(b"left by a crash")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["config.json"]


def test_readers_keep_the_file_that_they_opened(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_atomically(path, b"old")
    with path.open("rb") as stream:
        write_atomically(path, b"new")
        assert stream.read() == b"old"


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "step-000001"
    with atomic_folder(target) as folder:
        (folder / "trainer").mkdir()
        (folder / "trainer" / "state.json").write_text("{}")
        assert not target.exists()
    assert (target / "trainer" / "state.json").read_text() == "{}"
    assert names(tmp_path) == ["step-000001"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "best"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(OSError, match="disk full"):
        fill_half(target)
    assert (target / "a").read_text() == "old"
    assert names(tmp_path) == ["best"]


def test_a_folder_replaces_an_old_one_and_clears_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "best"
    for leftover in (target, tmp_path / ".best.partial", tmp_path / ".best.replaced"):
        leftover.mkdir()
        (leftover / "old").write_text("x")
    with atomic_folder(target) as folder:
        (folder / "new").write_text("y")
    assert names(tmp_path) == ["best"]
    assert names(target) == ["new"]


def test_a_link_is_relative_and_moves_in_one_step(tmp_path: Path) -> None:
    for name in ("step-000001", "step-000002"):
        (tmp_path / name).mkdir()
        link_atomically(tmp_path / "last", tmp_path / name)
        assert (tmp_path / "last").readlink() == Path(name)
    assert names(tmp_path) == ["last", "step-000001", "step-000002"]
