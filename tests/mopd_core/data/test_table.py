from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mopd_core.data.table import TablePrompts, TableSource
from mopd_core.data.table_config import TableConfig
from mopd_core.types import Json

ROWS: list[dict[str, Json]] = [{"prompt": f"What is {i} + {i}?", "reference": str(2 * i)} for i in range(10)]
GSM8K = Path(os.environ["MOPD_DATA"]) / "gsm8k" / "train.jsonl"


def write_lines(path: Path, rows: list[dict[str, Json]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(path: Path | str, **options: Any) -> TablePrompts:
    return TableSource(TableConfig.model_validate({"path": str(path), **options})).load()


def load_all(path: Path | str, **options: Any) -> TablePrompts:
    return load(path, held_out=0, **options)


def write_as(path: Path, rows: list[dict[str, Json]]) -> None:
    match "".join(path.suffixes):
        case ".jsonl":
            write_lines(path, rows)
        case ".json":
            path.write_text(json.dumps(rows, indent=2))
        case ".jsonl.gz":
            path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
        case ".json.gz":
            path.write_bytes(gzip.compress(json.dumps(rows).encode()))
        case ".csv":
            with path.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, rows[0])
                writer.writeheader()
                writer.writerows(rows)
        case ".parquet":
            pq = pytest.importorskip("pyarrow.parquet")
            pa = pytest.importorskip("pyarrow")
            pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.gz", ".csv", ".parquet"])
def test_every_format_gives_the_same_prompts(tmp_path: Path, suffix: str) -> None:
    write_as(tmp_path / f"sums{suffix}", ROWS)
    prompts = load_all(tmp_path / f"sums{suffix}").train
    assert [prompt.id for prompt in prompts] == [f"sums/{number:06d}" for number in range(1, 11)]
    assert [prompt.reference for prompt in prompts] == [row["reference"] for row in ROWS]
    assert prompts[3].messages == ({"role": "user", "content": "What is 3 + 3?"},)
    assert [prompt.verifier for prompt in prompts] == [None] * 10


def test_json_files_may_hold_lines_or_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "lines.json"
    path.write_bytes(b"\xef\xbb\xbf" + b"\n\n".join(json.dumps(row).encode() for row in ROWS))
    assert len(load_all(path).train) == 10


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({"prompt": "one\u2028two\x85three", "reference": "1"}, ensure_ascii=False) + "\n")
    assert load_all(path).train[0].messages[0]["content"] == "one\u2028two\x85three"


REFERENCES: list[Json] = [
    "72",
    72,
    72.5,
    False,
    0,
    {"type": "object", "properties": {"x": {"type": "number"}}},
    {"type": "array", "items": [1, "a", None]},
    {},
    [["f(1)", 2], {"tests": ["assert True"]}],
    [],
    "2024-01-01",
    "007",
    2**70,
]


def test_json_references_arrive_unchanged(tmp_path: Path) -> None:
    rows: list[dict[str, Json]] = [{"prompt": "?", "reference": reference} for reference in REFERENCES]
    loaded = [prompt.reference for prompt in load_all(write_lines(tmp_path / "mixed.jsonl", rows)).train]
    assert json.dumps(loaded) == json.dumps(REFERENCES)


def test_csv_cells_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,reference\nx,007\ny,1.50\nz,NA\n"a, ""b""\nc","1,234"\n')
    prompts = load_all(tmp_path / "a.csv").train
    assert [prompt.reference for prompt in prompts] == ["007", "1.50", "NA", "1,234"]
    assert prompts[3].messages[0]["content"] == 'a, "b"\nc'


def test_chat_messages_and_a_system_prompt(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "2 {x}?"},
    ]
    path = write_lines(tmp_path / "chat.jsonl", [{"prompt": chat, "reference": "2"}])
    (prompt,) = load_all(path, system="Be brief.", prompt_template="{prompt} {y} \\boxed{}").train
    assert prompt.messages == (
        {"role": "system", "content": "Be brief."},
        *chat[:2],
        {"role": "user", "content": "2 {x}? {y} \\boxed{}"},
    )


def test_a_prompt_that_holds_the_placeholder_is_filled_in_once(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"prompt": "say {prompt}", "reference": "x"}])
    assert load_all(path, prompt_template="> {prompt} <").train[0].messages[0]["content"] == "> say {prompt} <"


def test_columns_for_system_id_and_verifier(tmp_path: Path) -> None:
    rows: list[dict[str, Json]] = [
        {"q": "1?", "gold": 1, "sys": "A", "key": 7, "by": "math"},
        {"q": "2?", "gold": 2, "sys": "", "key": "b"},
        {"q": "3?", "gold": 3, "sys": None, "key": 0, "by": None},
    ]
    columns = {"prompt": "q", "reference": "gold", "system": "sys", "id": "key", "verifier": "by"}
    prompts = load_all(write_lines(tmp_path / "a.jsonl", rows), columns=columns).train
    assert [prompt.id for prompt in prompts] == ["7", "b", "0"]
    assert [prompt.verifier for prompt in prompts] == ["math", None, None]
    assert [len(prompt.messages) for prompt in prompts] == [2, 1, 1]


def test_no_reference_column_is_needed_if_it_is_off(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"prompt": "Write JSON."}])
    assert load_all(path, columns={"reference": None}).train[0].reference is None


def test_the_pattern_takes_its_last_match_and_keeps_separators(tmp_path: Path) -> None:
    rows: list[dict[str, Json]] = [{"prompt": "?", "reference": "#### 5 is not it\nbut\n#### 1,234 \n"}]
    path = write_lines(tmp_path / "a.jsonl", rows)
    assert load_all(path, reference_pattern="#### (.+)").train[0].reference == "1,234"


def test_limit_takes_the_first_rows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    with path.open("a") as stream:
        stream.write("{ never read\n")
    assert [prompt.id for prompt in load_all(path, limit=2).train] == ["a/000001", "a/000002"]


def test_a_glob_reads_files_in_order_and_names_rows_by_file(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_lines(tmp_path / name / "train.jsonl", ROWS[:2])
    ids = [prompt.id for prompt in load_all(f"{tmp_path}/*/train.jsonl").train]
    assert ids == ["a/train/000001", "a/train/000002", "b/train/000001", "b/train/000002"]
    assert [prompt.id for prompt in load_all(f"{tmp_path}/*/train.jsonl", limit=3).train] == ids[:3]


@pytest.mark.parametrize(("held_out", "count"), [(None, 1), (0.02, 1), (0.25, 2), (0.35, 4), (3, 3), (0, 0), (0.0, 0)])
def test_held_out_is_a_number_or_a_share(tmp_path: Path, held_out: float | None, count: int) -> None:
    prompts = load(write_lines(tmp_path / "a.jsonl", ROWS), held_out=held_out)
    assert (len(prompts.train), len(prompts.held_out)) == (10 - count, count)
    ids = sorted(prompt.id for prompt in (*prompts.train, *prompts.held_out))
    assert ids == [f"a/{number:06d}" for number in range(1, 11)]


def test_the_draw_depends_on_its_seed_only(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    draws = [load(path, held_out=3, shuffle_seed=seed).held_out for seed in range(8)]
    assert load(path, held_out=3, shuffle_seed=0).held_out == draws[0]
    assert len({tuple(prompt.id for prompt in draw) for draw in draws}) > 1


def test_a_held_out_file_is_used_whole_or_drawn_from(tmp_path: Path) -> None:
    train, test = write_lines(tmp_path / "x" / "a.jsonl", ROWS), write_lines(tmp_path / "y" / "a.jsonl", ROWS[:4])
    whole = load(train, held_out_path=str(test))
    assert len(whole.train) == 10
    assert [prompt.id for prompt in whole.held_out] == [f"held-out/a/00000{number}" for number in range(1, 5)]
    part = load(train, held_out_path=str(test), held_out=2).held_out
    assert len(part) == 2
    assert all(prompt in whole.held_out for prompt in part)


@pytest.mark.skipif(not GSM8K.exists(), reason=f"{GSM8K} is not there; MOPD_DATA says where the data is")
def test_gsm8k_with_the_options_of_the_tutorial() -> None:
    columns = {"prompt": "question", "reference": "answer"}
    prompts = load(GSM8K, columns=columns, reference_pattern="#### (.+)")
    assert (len(prompts.train), len(prompts.held_out)) == (7324, 149)  # 2% of 7,473
    assert prompts.train[0].reference == "72"
    assert all(set(str(prompt.reference)) <= set("-0123456789.,") for prompt in prompts.train)
