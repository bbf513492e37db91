from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from mopd_core.types import VerifyItem
from mopd_verifiers.code.config import CodeConfig
from mopd_verifiers.code.verifier import build

DATA = Path(os.environ.get("MOPD_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
LOOP_S = 0.25


@pytest.fixture(scope="module")
def rows():
    path = DATA / "humaneval" / "HumanEval.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent: set MOPD_DATA to the folder with the public data sets")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def code():
    verifier = build(CodeConfig(workers=2), None)
    yield verifier
    verifier.close()


def verdicts(code, rows, respond, **own):
    return code.verify([VerifyItem(respond(row), {**row, "kind": "humaneval", **own}, row["task_id"]) for row in rows])


CANONICAL = {
    "whole": lambda row: f"Here it is:\n```python\n{row['prompt']}{row['canonical_solution']}```\n",
    "body": lambda row: f"```python\n{row['canonical_solution']}```\n",
    "body, no fence": lambda row: row["canonical_solution"],
}


@pytest.mark.parametrize("respond", CANONICAL.values(), ids=CANONICAL)
def test_canonical_solutions_pass(code, rows, respond):
    assert [verdict.status for verdict in verdicts(code, rows, respond)] == ["passed"] * 164


def test_functions_that_return_none_fail(code, rows):
    found = verdicts(code, rows, lambda row: f"```python\n{row['prompt']}    return None\n```")
    assert [(verdict.reward, verdict.status) for verdict in found] == [(0.0, "failed")] * 164


def test_endless_loops_fail_in_time(code, rows):
    start = time.monotonic()
    found = verdicts(code, rows, lambda row: f"```python\n{row['prompt']}    while True: pass\n```", timeout_s=LOOP_S)
    assert {(verdict.status, verdict.feedback) for verdict in found} == {
        ("failed", f"The test failed: it took longer than {LOOP_S:g} s.")
    }
    assert time.monotonic() - start < 164 * LOOP_S / 2 + 30
