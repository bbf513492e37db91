"""Hugging Face data sets without a network: what is in the cache is used, and what is not is one line, at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import datasets
import huggingface_hub.constants
import pytest

from mopd_core.data.table import TableSource
from mopd_core.data.table_config import TableConfig
from mopd_core.errors import DataError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an address of the Hub where nobody listens."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


def put_in_cache(cache: Path, subset: str) -> None:
    """Leave data set org/sums in the cache, as `datasets` does after a download."""
    source = cache / "source.jsonl"
    source.write_text("".join(json.dumps({"question": f"{i} + {i}?", "answer": str(2 * i)}) + "\n" for i in range(3)))
    datasets.load_dataset("json", data_files=str(source), cache_dir=str(cache))
    (made,) = cache.glob("json/*/0.0.0/*/dataset_info.json")
    folder = cache / "org___sums" / subset / "0.0.0" / made.parent.name
    folder.parent.mkdir(parents=True)
    made.parent.rename(folder)
    (folder / "json-train.arrow").rename(folder / "sums-train.arrow")
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**info, "dataset_name": "sums", "config_name": subset}))
    source.unlink()


def config(path: str, **options: object) -> TableConfig:
    columns = {"prompt": "question", "reference": "answer"}
    return TableConfig.model_validate({"path": path, "columns": columns, "held_out": 1, **options})


def test_a_name_that_is_not_cached_is_one_line_at_once(cache: Path) -> None:
    start = time.monotonic()
    with pytest.raises(
        DataError, match=r"'org/name' is no file here, Hugging Face cannot be reached, .* Check the path"
    ):
        TableSource(config("org/name")).load()
    assert time.monotonic() - start < 10


def test_a_cached_data_set_needs_no_network(cache: Path) -> None:
    put_in_cache(cache, "main")
    start = time.monotonic()
    prompts = TableSource(config("org/sums", subset="main")).load()
    assert time.monotonic() - start < 10
    assert sorted(prompt.id for prompt in (*prompts.train, *prompts.held_out)) == [f"sums/00000{i}" for i in (1, 2, 3)]
    assert {prompt.reference for prompt in (*prompts.train, *prompts.held_out)} == {"0", "2", "4"}
    assert not datasets.config.HF_HUB_OFFLINE


def test_a_user_who_is_offline_on_purpose_is_not_made_to_wait(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    put_in_cache(cache, "main")
    assert len(TableSource(config("org/sums")).load().train) == 2


def test_a_subset_or_split_that_is_not_there(cache: Path) -> None:
    put_in_cache(cache, "main")
    with pytest.raises(DataError, match=r"data set 'org/sums', subset hard, split train, cannot be loaded: .*'main'"):
        TableSource(config("org/sums", subset="hard")).load()
    with pytest.raises(DataError, match=r"split dev, cannot be loaded: .*train"):
        TableSource(config("org/sums", split="dev")).load()


def test_the_held_out_split_of_a_data_set(cache: Path) -> None:
    put_in_cache(cache, "main")
    splits = {"split": "train[:1]", "held_out_split": "train[1:]"}
    prompts = TableSource(config("org/sums", held_out=None, **splits)).load()
    assert [(prompt.id, prompt.reference) for prompt in prompts.train] == [("sums/000001", "0")]
    held_out = [(prompt.id, prompt.reference) for prompt in prompts.held_out]
    assert held_out == [("held-out/sums/000001", "2"), ("held-out/sums/000002", "4")]


def test_a_file_name_is_never_looked_up(cache: Path) -> None:
    with pytest.raises(DataError, match=r"no file 'data/train\.jsonl'"):
        TableSource(config("data/train.jsonl")).load()


def test_a_data_set_that_is_a_script_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("Dataset scripts are no longer supported, but found name.py")

    monkeypatch.setattr(datasets, "load_dataset", refuses)
    with pytest.raises(DataError, match=r"data set 'org/name', .* cannot be loaded: Dataset scripts are no longer"):
        TableSource(config("org/name")).load()
