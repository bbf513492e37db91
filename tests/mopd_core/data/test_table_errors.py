"""Every mistake in data is one `DataError` that names the file, the row and what to do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mopd_core.data.table import TableSource, _check_apart
from mopd_core.data.table_config import TableConfig
from mopd_core.errors import ConfigError, DataError
from mopd_core.types import Json

GOOD = {"prompt": "1 + 1?", "reference": "2"}


def fails(path: Path | str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        TableSource(TableConfig.model_validate({"path": str(path), "held_out": 0, **options})).load()
    message = str(caught.value)
    assert "\n" not in message
    return message


def of_rows(folder: Path, *rows: Json) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_missing_file(tmp_path: Path) -> None:
    of_rows(tmp_path, GOOD)
    assert "Did you mean 'train.jsonl'?" in fails(tmp_path / "trian.jsonl")
    assert "does not exist" in fails(tmp_path / "no" / "train.jsonl")
    assert "no file matches" in fails(f"{tmp_path}/*.csv")


def test_a_folder(tmp_path: Path) -> None:
    assert f"is a folder; name a file in it, or several with a glob such as {tmp_path}/*.jsonl" in fails(tmp_path)


def test_an_unsupported_suffix(tmp_path: Path) -> None:
    for name in ("train.txt", "train", "train.csv.gz"):
        (tmp_path / name).write_text("x")
        message = fails(tmp_path / name)
        assert name in message
        assert "allowed: .json, .jsonl," in message


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert "holds no rows" in fails(tmp_path / name)


def test_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    assert "holds no rows" in fails(tmp_path / "a.json")


def test_a_missing_column(tmp_path: Path) -> None:
    path = of_rows(tmp_path, {"promt": "?", "answer": "2"})
    message = fails(path)
    assert "train.jsonl has no column 'prompt'; columns: promt, answer. Did you mean 'promt'?" in message
    assert "Set data.columns.prompt to one of them" in message
    assert "or to null for none" in fails(path, columns={"prompt": "promt"})
    assert "data.columns.verifier" in fails(of_rows(tmp_path, GOOD), columns={"verifier": "kind"})


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (None, "is missing; allowed: text"),
        ("  ", "is str '  '; allowed: text"),
        (7, "is int 7"),
        ([], "is list []"),
        (["Hi"], "message 1 is str 'Hi'"),
        ([{"role": "user"}], "message 1 needs a role and a content that are text"),
        ([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "message 1 needs a role and a content"),
        ([{"role": "user", "content": "Hi", "name": "Jo"}], "message 1 also has name"),
        ([{"role": "system", "content": "Hi"}], "needs a user message"),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "4"}], "must end before the assistant"),
    ],
)
def test_a_prompt_that_cannot_be_used(tmp_path: Path, prompt: Json, said: str) -> None:
    message = fails(of_rows(tmp_path, GOOD, {"prompt": prompt, "reference": "2"}))
    assert "train.jsonl row 2: " in message
    assert said in message


def test_two_system_prompts(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "A"}, {"role": "user", "content": "Hi"}]
    assert "starts with a system message" in fails(of_rows(tmp_path, {"prompt": chat, "reference": 1}), system="B")


@pytest.mark.parametrize("reference", [None, "", " "])
def test_a_missing_reference(tmp_path: Path, reference: Json) -> None:
    assert "row 2: column 'reference' is" in fails(of_rows(tmp_path, GOOD, {"prompt": "?", "reference": reference}))
    assert "row 2: column 'reference' is missing" in fails(of_rows(tmp_path, GOOD, {"prompt": "?"}))


@pytest.mark.parametrize(
    ("reference", "said"),
    [("no mark", "has no match for data.reference_pattern '#### (.*)'"), ("#### ", "has no match"), (3, "is int 3")],
)
def test_a_pattern_that_finds_nothing(tmp_path: Path, reference: Json, said: str) -> None:
    path = of_rows(tmp_path, {"prompt": "?", "reference": "#### 1"}, {"prompt": "?", "reference": reference})
    message = fails(path, reference_pattern="#### (.*)")
    assert "train.jsonl row 2: column 'reference' " in message
    assert said in message


def test_a_duplicated_id(tmp_path: Path) -> None:
    path = of_rows(tmp_path, {**GOOD, "id": 1}, {**GOOD, "id": 2}, {**GOOD, "id": "1"})
    message = fails(path, columns={"id": "id"})
    assert "row 3 has the id '1', and so has " in message
    assert "row 1;" in message


def test_an_id_shared_with_the_held_out_file(tmp_path: Path) -> None:
    train = of_rows(tmp_path, {**GOOD, "id": 2})
    test = tmp_path / "test.jsonl"
    test.write_text(train.read_text())
    assert "test.jsonl row 1 has the id '2'" in fails(
        train, columns={"id": "id"}, held_out=None, held_out_path=str(test)
    )


@pytest.mark.parametrize("value", [None, "", True, 1.5])
def test_an_id_that_is_none(tmp_path: Path, value: Json) -> None:
    assert "allowed as an id" in fails(of_rows(tmp_path, {**GOOD, "id": value}), columns={"id": "id"})


def test_malformed_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n{'prompt': 1}\n")
    assert "a.jsonl line 3: malformed JSON: " in fails(path)
    path.write_text(json.dumps(GOOD) + '\n{"prompt": "?", "reference": NaN}\n')
    assert "a.jsonl line 2: malformed JSON: NaN is not a JSON value" in fails(path)
    path.write_text(json.dumps(GOOD) + '\n"text"\n')
    assert "a.jsonl line 2: a row is an object" in fails(path)


def test_a_malformed_json_list(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n{"prompt": "?",\n "reference": }]')
    assert "a.json line 3: malformed JSON: " in fails(path)
    path.write_text('[{"prompt": "?", "reference": 1}, 2]')
    assert "a.json item 2: a row is an object" in fails(path)


def test_files_that_cannot_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"not gzip")
    assert "a.jsonl.gz cannot be read" in fails(tmp_path / "a.jsonl.gz")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps(GOOD).encode() * 50)[:-12])
    assert "b.jsonl.gz cannot be read" in fails(tmp_path / "b.jsonl.gz")
    (tmp_path / "c.jsonl").write_bytes(b'{"prompt": "\xff"}')
    assert "c.jsonl cannot be read" in fails(tmp_path / "c.jsonl")
    (tmp_path / "d.parquet").write_bytes(b"not parquet")
    assert "d.parquet cannot be read" in fails(tmp_path / "d.parquet")


def test_malformed_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,reference\n?,1,234\n")
    assert "a.csv row 1: more cells than the header's 2" in fails(path)
    path.write_text('prompt,reference\n"a"b,1\n')
    assert "a.csv after line 1: malformed CSV" in fails(path)
    path.write_text("prompt,reference\n?\n")
    assert "a.csv row 1: column 'reference' is missing" in fails(path)


def test_nothing_left_to_train_on(tmp_path: Path) -> None:
    path = of_rows(tmp_path, GOOD)
    assert "has 1 rows and data.held_out=1 leaves none to train on" in fails(path, held_out=1)
    assert "leaves none to train on" in fails(path, held_out=None)
    assert "asks for 2 prompts and there are 1 rows" in fails(path, held_out=2)


@pytest.mark.parametrize("other", ["train.jsonl", "../{folder}/train.jsonl", "*.jsonl", "linked.jsonl"])
def test_what_is_trained_on_is_not_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = of_rows(tmp_path, GOOD)
    Path("linked.jsonl").symlink_to(path)
    message = fails("train.jsonl", held_out=None, held_out_path=other.format(folder=tmp_path.name))
    assert f"data.path and data.held_out_path both hold {path}" in message
    assert "leave data.held_out_path out" in message


def test_a_hugging_face_name_is_not_held_out_from_itself() -> None:
    with pytest.raises(DataError, match="both hold organisation/data"):
        _check_apart("organisation/data", "organisation/data")
    _check_apart("organisation/data", "organisation/other")
    with pytest.raises(ValidationError, match="split and held_out_split are both 'train'"):
        TableConfig(path="organisation/data", held_out_split="train")


def test_a_mistake_names_the_row_where_ids_are_the_files_own(tmp_path: Path) -> None:
    path = of_rows(tmp_path, {**GOOD, "id": "a"}, {"prompt": " ", "reference": "2", "id": "b"})
    assert f"{path} row 2: " in fails(path, columns={"id": "id"})


def test_options_for_hugging_face_names_do_not_fit_a_file(tmp_path: Path) -> None:
    path = of_rows(tmp_path, GOOD)
    for options in ({"subset": "main"}, {"held_out_split": "test"}):
        with pytest.raises(ConfigError, match="for Hugging Face names"):
            TableSource(TableConfig.model_validate({"path": str(path), **options})).load()
