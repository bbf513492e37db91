"""The published files through their data sets: every row becomes a prompt, and its verifier takes the reference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mopd_core.config.load import load_config, load_verifier
from mopd_core.config.reference import built_in
from mopd_core.contexts import RunContext
from mopd_core.types import Prompt, VerifyItem
from mopd_core.verification.router import close_verifier

DATA = Path(os.environ["MOPD_DATA"])
PUBLISHED = [
    ("humaneval", "humaneval/HumanEval.jsonl.gz", 164, "code"),
    ("gsm8k", "gsm8k/train.jsonl", 7473, "math"),
    ("gsm8k", "gsm8k/test.jsonl", 1319, "math"),
    ("aime", "aime24/test.jsonl", 30, "math"),
    ("amc", "amc23/test.jsonl", 40, "math"),
    ("sciknoweval", "sciknoweval/biology/train.json", 450, "choice"),
    ("sciknoweval", "sciknoweval/biology/test.json", 50, "choice"),
    ("sciknoweval", "sciknoweval/chemistry/train.json", 1890, "choice"),
    ("sciknoweval", "sciknoweval/chemistry/test.json", 210, "choice"),
    ("sciknoweval", "sciknoweval/physics/train.json", 720, "choice"),
    ("sciknoweval", "sciknoweval/physics/test.json", 80, "choice"),
    ("sciknoweval", "sciknoweval/material/train.json", 841, "choice"),
    ("sciknoweval", "sciknoweval/material/test.json", 94, "choice"),
    ("sciknoweval", "sciknoweval/*/train.json", 3901, "choice"),
    ("tooluse", "tooluse/test.json", 68, "tool-use"),
]
published = pytest.mark.parametrize(("name", "file", "count", "verifier"), PUBLISHED, ids=[row[1] for row in PUBLISHED])


def context() -> RunContext:
    return RunContext(0, built_in(), None)


def prompts_of(name: str, file: str) -> tuple[Prompt, ...]:
    if not DATA.is_dir() or not list(DATA.glob(file)):
        pytest.skip(f"{DATA / file} is not there; MOPD_DATA says where the data is")
    options = [f"data.name={name}", f"data.path={DATA / file}", "data.held_out=0"]
    config = load_config(None, built_in(), options=options)
    sets: Any = built_in()["datasets"].build(config.data, context()).load()
    return tuple(sets.train)


def judge(name: str) -> Any:
    if name not in built_in()["verifiers"].names():
        pytest.skip(f"the verifier {name} is not installed")
    return built_in()["verifiers"].build(load_verifier(name, built_in()), context())


@published
def test_every_row_is_a_prompt_whose_reference_the_verifier_takes(
    name: str, file: str, count: int, verifier: str
) -> None:
    prompts = prompts_of(name, file)
    assert len({prompt.id for prompt in prompts}) == len(prompts) == count
    built = judge(verifier)
    try:
        built.check([VerifyItem("", prompt.reference, prompt.id, prompt.messages) for prompt in prompts])
    finally:
        close_verifier(built)


@pytest.mark.parametrize(("name", "file"), [("aime", "aime24/test.jsonl"), ("amc", "amc23/test.jsonl")])
def test_a_whole_number_is_right_for_every_competition_answer(name: str, file: str) -> None:
    prompts = prompts_of(name, file)
    built = judge("math")
    try:
        right = [VerifyItem(f"So it is \\boxed{{{float(p.reference):.10g}}}.", p.reference, p.id) for p in prompts]
        wrong = [VerifyItem(f"So it is \\boxed{{{float(p.reference) + 1:.10g}}}.", p.reference, p.id) for p in prompts]
        assert {verdict.status for verdict in built.verify(right)} == {"passed"}
        assert {verdict.status for verdict in built.verify(wrong)} == {"failed"}
    finally:
        close_verifier(built)


def test_what_the_rows_become() -> None:
    assert {prompt.reference for prompt in prompts_of("sciknoweval", "sciknoweval/*/test.json")} == set("ABCD")
    for prompt in prompts_of("sciknoweval", "sciknoweval/physics/test.json"):
        assert "<answer>" in prompt.messages[0]["content"]
    calls = [prompt.reference for prompt in prompts_of("tooluse", "tooluse/test.json")]
    assert sum(len(each) for each in calls) == 96
    assert all(isinstance(json.loads(call["Action_Input"]), dict) for each in calls for call in each)
    first = prompts_of("humaneval", "humaneval/HumanEval.jsonl.gz")[0]
    assert (first.id, first.reference["entry_point"]) == ("HumanEval/0", "has_close_elements")
    assert [len(prompt.messages) for prompt in (first, prompts_of("tooluse", "tooluse/test.json")[0])] == [1, 1]
