"""GSM8K: the training questions through the whole loop, and every test answer through the verifier."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

GSM8K = Path(os.environ["MOPD_DATA"]) / "gsm8k"
ENDINGS = ("#### {}", "Therefore, the answer is $\\boxed{{{}}}$.", "The answer is {}.")
"""How a worked answer may end; rows take turns."""

pytestmark = pytest.mark.skipif(not GSM8K.is_dir(), reason=f"no GSM8K in {GSM8K}; MOPD_DATA names the folder above it")


def test_three_steps_on_gsm8k_handle_groups_without_success_and_say_so(mopd_inside, tmp_path: Path):
    settings = {
        "data.path": GSM8K / "train.jsonl",
        "data.columns.prompt": "question",
        "data.columns.reference": "answer",
        "data.reference_pattern": "#### (.+)",
        "data.held_out": 8,
        "rollout.max_prompt_tokens": 1024,
        "training.steps": 3,
    }
    options = [part for path, value in settings.items() for part in ("-o", f"{path}={value}")]
    done = mopd_inside("run", *options, "--out", "here").ok()
    assert "7465 prompts to train on, 8 held out" in done.err
    lines = [json.loads(line) for line in (tmp_path / "here" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line in lines:
        said = f"step {line['step']}: no rollout succeeded; the step trains on nothing"
        assert (said in done.err) == (line["rollout/success_rate"] == 0)
    assert any(line["groups/all_failure"] > 0 for line in lines)
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    assert (summary["steps"], summary["rollouts"]) == (3, 3 * 8 * 8)


@pytest.mark.parametrize(("change", "status"), [(0, "passed"), (1, "failed")])
def test_every_worked_answer_of_the_test_set_is_judged_right(mopd, tmp_path: Path, change: int, status: str):
    rows = [json.loads(line) for line in (GSM8K / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    with (tmp_path / "answers.jsonl").open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            worked, _, gold = row["answer"].rpartition("#### ")
            answer = gold if change == 0 else str(int(gold.replace(",", "")) + change)
            response = re.sub("<<.*?>>", "", worked) + ENDINGS[number % len(ENDINGS)].format(answer)
            file.write(json.dumps({"prompt": row["question"], "response": response, "reference": gold}) + "\n")
    done = mopd("verify", "answers.jsonl", "--verifier", "math", "--json", "--out", "verdicts.jsonl").ok()
    summary = json.loads(done.err)
    assert (summary["rows"], summary.get(status)) == (1319, 1319)
    assert len((tmp_path / "verdicts.jsonl").read_text().splitlines()) == 1319
