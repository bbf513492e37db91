from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mopd_core.types import VerifyItem
from mopd_verifiers.math.config import MathConfig
from mopd_verifiers.math.verifier import MathVerifier

DATA = Path(os.environ.get("MOPD_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))


def rows(name: str):
    path = DATA / name / "test.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent: set MOPD_DATA to the folder with the public data sets")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def math():
    verifier = MathVerifier(MathConfig(workers=2, timeout_s=20))
    yield verifier
    verifier.close()


def gsm8k():
    """Worked text and the number after ####, thousands separators included."""
    for row in rows("gsm8k"):
        worked, gold = row["answer"].rsplit("####", 1)
        yield worked, gold.strip()


def changed(gold: str) -> str:
    return f"{int(gold.replace(',', '')) + 1:,}"


FORMS = {
    "marked": "{worked}#### {answer}",
    "boxed": "{worked}So the answer is $\\boxed{{{answer}}}$.",
    "prose": "{worked}\nThe final answer is {answer}.",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_gsm8k(math, form, right):
    items = [
        VerifyItem(FORMS[form].format(worked=worked, answer=gold if right else changed(gold)), gold)
        for worked, gold in gsm8k()
    ]
    verdicts = math.verify(items)
    assert len(verdicts) == 1319
    assert {verdict.status for verdict in verdicts} == {"passed" if right else "failed"}


@pytest.mark.parametrize(("name", "count"), [("aime24", 30), ("amc23", 40)])
def test_competition_golds_pass_against_themselves(math, name, count):
    golds = [row["answer"] for row in rows(name)]
    verdicts = math.verify([VerifyItem(f"\\boxed{{{gold}}}", gold) for gold in golds])
    assert [verdict.status for verdict in verdicts] == ["passed"] * count
