"""The published data sets over `table`, on rows written here: what a row becomes, and what is refused."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mopd_core.config.load import load_verifier
from mopd_core.config.reference import built_in
from mopd_core.contexts import RunContext
from mopd_core.errors import ConfigError, DataError
from mopd_core.types import Json, VerifyItem

ADAPTERS = ("aime", "amc", "gsm8k", "humaneval", "livecodebench", "sciknoweval", "tooluse")


def configure(name: str, **options: Any) -> Any:
    return built_in()["datasets"].get(name).config_type.model_validate(options)


def load(name: str, path: Path | str | None = None, **options: Any) -> Any:
    registration = built_in()["datasets"].get(name)
    given = {"held_out": 0, **options} if path is None else {"path": str(path), "held_out": 0, **options}
    source = registration.factory(configure(name, **given), RunContext(0, built_in(), None))
    return source.load()


def file_of(folder: Path, *rows: Json, name: str = "test.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def user(prompt: Any) -> str:
    return prompt.messages[-1]["content"]


def packed(tests: list[Json]) -> str:
    """Private tests as LiveCodeBench publishes them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def a_test(given: str, expected: str, kind: str) -> Json:
    return {"input": given, "output": expected, "testtype": kind}


def contest_row(number: int, day: str, **cells: Json) -> Json:
    return {
        "question_title": f"Problem {number}",
        "question_content": f"Read {number} numbers and print their sum.\n",
        "platform": "atcoder",
        "question_id": f"made{number}_a",
        "contest_id": f"made{number}",
        "contest_date": f"{day}T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps([a_test("1 2\n", "3\n", "stdin")]),
        "private_test_cases": packed([a_test("10 20\n", "30\n", "stdin"), a_test("0 0\n", "0\n", "stdin")]),
        "metadata": "{}",
        **cells,
    }


STARTER = "class Solution:\n    def addThem(self, a: int, b: int) -> int:\n        "
CONTESTS = (
    contest_row(1, "2024-07-31"),
    contest_row(2, "2024-08-01", difficulty="hard", platform="codeforces"),
    contest_row(
        3,
        "2024-09-14",
        platform="leetcode",
        question_id="3901",
        starter_code=STARTER,
        difficulty="medium",
        public_test_cases=json.dumps([a_test("1\n2", "3", "functional")]),
        private_test_cases=packed([a_test("4\n5", "9", "functional")]),
        metadata='{"func_name": "addThem"}',
    ),
)


def test_gsm8k(tmp_path: Path) -> None:
    row = {"question": "How many {eggs}?", "answer": "It is #### not this.\n4*9=<<4*9=36>>36\n#### 1,036\n"}
    (prompt,) = load("gsm8k", file_of(tmp_path, row)).train
    assert prompt.reference == "1,036"
    assert user(prompt) == "How many {eggs}?\n\nReason step by step, and put the final answer in \\boxed{}."


def test_gsm8k_has_a_subset_on_the_hub_only() -> None:
    assert (configure("gsm8k").path, configure("gsm8k").subset) == ("openai/gsm8k", "main")
    assert configure("gsm8k", path="openai/gsm8k").subset == "main"
    assert configure("gsm8k", path="train.jsonl").subset is None
    assert configure("gsm8k", path="org/copy", subset="main").subset == "main"


def test_competitions_keep_their_answers(tmp_path: Path) -> None:
    (prompt,) = load("aime", file_of(tmp_path, {"id": 60, "problem": "Find $x$.", "answer": "025"})).train
    assert (prompt.id, prompt.reference, user(prompt).partition("\n")[0]) == ("test/000001", "025", "Find $x$.")
    (prompt,) = load("amc", file_of(tmp_path, {"id": 0, "question": "Find $y$.", "answer": 27.0})).train
    assert (prompt.reference, user(prompt).partition("\n")[0]) == (27.0, "Find $y$.")


def test_sciknoweval_has_the_rows_own_system_prompt(tmp_path: Path) -> None:
    row = {"prompt": "Which?\nA: this\nB: that", "answer": "B", "system": "Answer with a letter."}
    (prompt,) = load("sciknoweval", file_of(tmp_path, row)).train
    assert prompt.reference == "B"
    assert [message["role"] for message in prompt.messages] == ["system", "user"]
    (prompt,) = load("sciknoweval", file_of(tmp_path, row), columns={"system": None}, system="Be brief.").train
    assert prompt.messages[0]["content"] == "Be brief."


def test_tooluse_decodes_the_list_of_calls(tmp_path: Path) -> None:
    calls = [{"Action": "getCats", "Action_Input": '{"limit": 3}'}]
    rows = [
        {"prompt": "Show cats.", "answer": json.dumps(calls), "system": None},
        {"prompt": "Show cats.", "answer": calls},
    ]
    prompts = load("tooluse", file_of(tmp_path, *rows)).train
    assert [prompt.reference for prompt in prompts] == [calls, calls]
    assert [len(prompt.messages) for prompt in prompts] == [1, 1]


@pytest.mark.parametrize("answer", ["[{", "{}", '["getCats"]', "7"])
def test_tooluse_refuses_what_is_no_list_of_calls(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DataError, match=r"test\.jsonl row 1: column 'answer' is str .*"):
        load("tooluse", file_of(tmp_path, {"prompt": "?", "answer": answer, "system": None}))


def test_humaneval_makes_a_problem_of_its_columns(tmp_path: Path) -> None:
    row = {
        "task_id": "HumanEval/7",
        "prompt": 'def one() -> int:\n    """Return {1}."""\n',
        "canonical_solution": "    return 1\n",
        "entry_point": "one",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    (prompt,) = load("humaneval", file_of(tmp_path, row)).train
    assert prompt.id == "HumanEval/7"
    kept = {name: row[name] for name in ("prompt", "entry_point", "test")}
    assert prompt.reference == {"kind": "humaneval", **kept}
    assert f"```python\n{row['prompt']}\n```" in user(prompt)
    assert "return 1" not in user(prompt)


def test_other_names_of_columns_are_options_too(tmp_path: Path) -> None:
    row = {"id": "a", "prompt": "def f(): ...", "name": "f", "test": "def check(f): ..."}
    path = file_of(tmp_path, row)
    with pytest.raises(DataError, match=r"has no column 'task_id'.* Set data.columns.id .* or to null for none"):
        load("humaneval", path)
    with pytest.raises(DataError, match=r"no column 'entry_point'.* Set data.columns.entry_point to one of them$"):
        load("humaneval", path, columns={"id": "id"})
    (prompt,) = load("humaneval", path, columns={"id": "id", "entry_point": "name"}).train
    assert (prompt.id, prompt.reference["entry_point"]) == ("a", "f")
    (prompt,) = load("humaneval", path, columns={"id": None, "entry_point": "name", "reference": None}).train
    assert (prompt.id, prompt.reference) == ("test/000001", None)


def test_an_empty_cell_names_file_row_and_column(tmp_path: Path) -> None:
    good = {"task_id": "a", "prompt": "def f(): ...", "entry_point": "f", "test": "def check(f): ..."}
    path = file_of(tmp_path, good, {**good, "task_id": "b", "entry_point": " "})
    with pytest.raises(DataError, match=r"test\.jsonl row 2: column 'entry_point' is str ' '; allowed: text that is"):
        load("humaneval", path)


def test_livecodebench_programs(tmp_path: Path) -> None:
    prompts = load("livecodebench", file_of(tmp_path, *CONTESTS)).train
    assert [prompt.id for prompt in prompts] == ["made1_a", "made2_a", "3901"]
    names = ("public_test_cases", "private_test_cases", "starter_code", "metadata")
    for prompt, row in zip(prompts, CONTESTS, strict=True):
        assert prompt.reference == {"kind": "livecodebench", **{name: row[name] for name in names}}
    assert user(prompts[0]).startswith("Read 1 numbers and print their sum.\n\nWrite a Python program")
    assert "standard input" in user(prompts[0])
    assert f"```python\n{STARTER.rstrip()}\n```" in user(prompts[2])
    assert "standard input" not in user(prompts[2])


def test_livecodebench_rows_are_judged_by_their_private_tests(tmp_path: Path) -> None:
    first, _, third = load("livecodebench", file_of(tmp_path, *CONTESTS)).train
    knows_the_public_test = "print(3)"
    adds = "print(sum(map(int, input().split())))"
    method = f"{STARTER}return a + b"
    asked = [(first, adds, "passed"), (first, knows_the_public_test, "failed"), (third, method, "passed")]
    items = [VerifyItem(f"```python\n{program}\n```", prompt.reference, prompt.id) for prompt, program, _ in asked]
    judge: Any = built_in()["verifiers"].build(load_verifier("code", built_in()), RunContext(0, built_in(), None))
    try:
        judge.check(items)
        assert [verdict.status for verdict in judge.verify(items)] == [status for _, _, status in asked]
    finally:
        judge.close()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [1, 2, 3]),
        ({"from_date": "2024-08-01"}, [2, 3]),
        ({"until_date": "2024-08-01"}, [1, 2]),
        ({"from_date": "2024-08-01", "until_date": "2024-08-31"}, [2]),
        ({"platform": "leetcode"}, [3]),
        ({"difficulty": "easy", "until_date": "2024-12-31"}, [1]),
        ({"from_date": "2024-08-01", "limit": 1}, [2]),
        ({"limit": 2}, [1, 2]),
    ],
)
def test_livecodebench_chooses_among_rows(tmp_path: Path, options: dict[str, Any], kept: list[int]) -> None:
    prompts = load("livecodebench", file_of(tmp_path, *CONTESTS), **options).train
    assert [prompt.id for prompt in prompts] == [CONTESTS[number - 1]["question_id"] for number in kept]


def test_livecodebench_chooses_among_the_held_out_rows_as_well(tmp_path: Path) -> None:
    train = file_of(tmp_path, *CONTESTS[:2], name="test5.jsonl")
    held_out = file_of(tmp_path, contest_row(4, "2024-07-01"), CONTESTS[2], name="test6.jsonl")
    prompts = load("livecodebench", train, held_out_path=str(held_out), held_out=None, from_date="2024-07-31")
    assert [prompt.id for prompt in prompts.train] == ["made1_a", "made2_a"]
    assert [prompt.id for prompt in prompts.held_out] == ["3901"]


def test_livecodebench_says_what_it_cannot_use(tmp_path: Path) -> None:
    path = file_of(tmp_path, *CONTESTS, contest_row(4, "soon"))
    with pytest.raises(DataError, match=r"row 4: column 'contest_date' is str 'soonT00:00:00'; allowed: a date"):
        load("livecodebench", path, from_date="2024-01-01")
    with pytest.raises(DataError, match=r"has 4 rows, and the options of the data set .* leave none"):
        load("livecodebench", path, platform="leetcode", difficulty="hard")
    with pytest.raises(DataError, match=r"row 1: column 'starter_code' is missing; allowed: text"):
        load("livecodebench", file_of(tmp_path, contest_row(1, "2024-07-31", starter_code=None)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"from_date": "2024-09-01", "until_date": "2024-08-01"},
            "from_date 2024-09-01 is after until_date 2024-08-01",
        ),
        ({"difficulty": "easy", "columns": {"difficulty": None}}, "difficulty needs columns.difficulty"),
        ({"from_date": "2024-09-01", "columns": {"contest_date": None}}, "from_date needs columns.contest_date"),
        ({"from_date": "August"}, "valid date"),
        ({"platform": "topcoder"}, "'atcoder', 'codeforces' or 'leetcode'"),
    ],
)
def test_livecodebench_refuses_options_that_mean_nothing(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        configure("livecodebench", path="test.jsonl", **options)


@pytest.mark.parametrize("name", ["livecodebench", "sciknoweval", "tooluse"])
def test_a_path_is_required_where_nothing_published_has_these_columns(name: str) -> None:
    with pytest.raises(ValidationError, match="path"):
        configure(name)


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_one_takes_what_a_table_takes(name: str) -> None:
    options = {"path": "x.jsonl", "limit": 9, "held_out": 3, "held_out_path": "y.jsonl", "shuffle_seed": 1}
    config = configure(name, **options, prompt_template="Please: {prompt}", reference_pattern="(.+)")
    assert {field: getattr(config, field) for field in options} == options
    assert config.prompt_template == "Please: {prompt}"
    with pytest.raises(ValidationError, match="exactly once"):
        configure(name, path="x.jsonl", prompt_template="Please")


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_help_of_every_one_names_its_verifier(name: str) -> None:
    verifiers = {"humaneval": "code", "livecodebench": "code", "sciknoweval": "choice", "tooluse": "tool-use"}
    assert built_in()["datasets"].get(name).help.endswith(f"for the verifier `{verifiers.get(name, 'math')}`.")


def test_a_subset_of_a_local_file_is_refused_as_with_a_table(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"question": "?", "answer": "#### 1"})
    with pytest.raises(ConfigError, match=r"remove data\.subset=main"):
        load("gsm8k", path, subset="main")


def test_registering_them_imports_neither_torch_nor_datasets() -> None:
    code = "import sys, mopd_core.builtin as _; sys.exit(bool({'torch', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
