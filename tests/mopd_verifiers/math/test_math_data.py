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


# What people and models write around a number; {n} is the number, {s} the same with thousands separators.
FORMS = {
    "gsm8k": "{worked}#### {s}",
    "boxed": "{worked}So the answer is $\\boxed{{{n}}}$.",
    "prose": "{worked}\nThe final answer is {s}.",
}
MORE_FORMS = {
    "plain": "{n}",
    "bold": "{worked}\n**Answer:** **{s}**",
    "last expression": "so we get $x = {n}$",
    "latex separators": "\\[ \\boxed{{{latex}}} \\]",
    "decimal": "\\boxed{{{n}.00}}",
    "fraction": "\\boxed{{\\dfrac{{{double}}}{{2}}}}",
    "named": "Hence $n = \\boxed{{{n}}}$, as claimed. The answer is correct.",
    "named inside": "$\\boxed{{x = {n}}}$",
    "unit": "\\boxed{{{n} \\text{{ meters}}}}",
    "dollars": "The answer is \\${s}.",
    "text": "\\boxed{{\\text{{{s}}}}}",
    "with a remark": "The answer is {n}. I hope the answer is clear.",
    "thought": "<think>\\boxed{{{wrong}}}</think>Answer: ${n}$",
    "revised": "\\boxed{{{wrong}}} is not it; rather \\boxed{{{n}}}",
}
HEDGES = {
    "two boxes": "$\\boxed{{{n}}}$ or $\\boxed{{{wrong}}}$",
    "a list": "\\boxed{{{n}, {wrong}}}",
    "a set": "\\boxed{{\\{{{wrong}, {n}\\}}}}",
    "in words": "The answer is {n} or {wrong}.",
    "plus or minus": "\\boxed{{{n} \\pm 1}}",
    "a sum": "\\boxed{{{n} + 0}}",
}


def written(form: str, number: int, worked: str = "") -> str:
    separated = f"{number:,}"
    return form.format(
        worked=worked,
        n=number,
        s=separated,
        latex=separated.replace(",", "{,}"),
        double=2 * number,
        wrong=number + 1,
    )


def statuses(verifier, items) -> set[str]:
    return {verdict.status for verdict in verifier.verify(items)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("shift", "status"), [(0, "passed"), (1, "failed")], ids=["right", "wrong"])
def test_gsm8k(math, form, shift, status):
    rows = [(worked, gold, int(gold.replace(",", ""))) for worked, gold in gsm8k()]
    assert len(rows) == 1319
    assert statuses(math, [VerifyItem(written(FORMS[form], n + shift, worked), gold) for worked, gold, n in rows]) == {
        status
    }


@pytest.mark.parametrize(("shift", "status"), [(0, "passed"), (1, "failed")], ids=["right", "wrong"])
def test_gsm8k_in_more_forms_one_a_row(math, shift, status):
    forms = list(MORE_FORMS.values())
    items = [
        VerifyItem(written(forms[row % len(forms)], int(gold.replace(",", "")) + shift, worked), gold)
        for row, (worked, gold) in enumerate(gsm8k())
    ]
    assert statuses(math, items) == {status}


@pytest.mark.parametrize(("name", "count"), [("aime24", 30), ("amc23", 40)])
def test_competitions_in_every_form(math, name, count):
    golds = [row["answer"] for row in rows(name)]
    assert len(golds) == count
    forms = [*FORMS.values(), *MORE_FORMS.values()]
    right = [VerifyItem(written(form, int(float(gold))), gold) for gold in golds for form in forms]
    wrong = [VerifyItem(written(form, int(float(gold)) + 1), gold) for gold in golds for form in forms]
    assert statuses(math, [VerifyItem(f"\\boxed{{{gold}}}", gold) for gold in golds]) == {"passed"}
    assert statuses(math, right) == {"passed"}
    assert statuses(math, wrong) == {"failed"}


@pytest.mark.parametrize("name", ["aime24", "amc23"])
def test_naming_more_than_the_answer_fails(math, name):
    golds = [row["answer"] for row in rows(name)]
    items = [VerifyItem(written(hedge, int(float(gold))), gold) for gold in golds for hedge in HEDGES.values()]
    assert statuses(math, items) == {"failed"}
