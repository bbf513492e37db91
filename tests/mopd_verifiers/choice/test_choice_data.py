"""Every row of SciKnowEval: the gold passes in every format, and every other letter fails."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from mopd_core.types import VerifyItem
from mopd_verifiers.choice.config import ChoiceConfig
from mopd_verifiers.choice.verifier import ChoiceVerifier

DATA = Path(os.environ.get("MOPD_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
COUNTS = {"biology": 500, "chemistry": 2100, "material": 935, "physics": 800}
_OPTION = re.compile(r"^([A-Z]): (.*?)(?=\n+[A-Z]: |\n+Please reason|\Z)", re.MULTILINE | re.DOTALL)

FORMS = {
    "tagged, as the data ask for it": "<reasoning>\nIt is a guess.\n</reasoning>\n<answer>\n{letter}\n</answer>",
    "tagged with the text": "<answer>{letter}: {text}</answer>",
    "boxed": "So it is $\\boxed{{{letter}}}$.",
    "boxed text": "\\boxed{{\\text{{({letter})}}}}",
    "marked": "It is a guess.\n\nAnswer: {letter}",
    "in a sentence": "So the answer is ({letter}).",
    "in bold": "Final answer: **{letter}**",
}


def rows(subject):
    folder = DATA / "sciknoweval" / subject
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MOPD_DATA to the folder with the public data sets")
    for part in ("train", "test"):
        lines = (folder / f"{part}.json").read_text(encoding="utf-8").splitlines()
        yield from map(json.loads, lines)


@pytest.mark.parametrize("subject", COUNTS)
@pytest.mark.parametrize("form", FORMS)
def test_gold_passes_and_every_other_letter_fails(subject, form):
    right, wrong = [], []
    for row in rows(subject):
        options = dict(_OPTION.findall(row["prompt"]))
        assert row["answer"] in options
        for letter, text in options.items():
            response = FORMS[form].format(letter=letter, text=text.strip())
            (right if letter == row["answer"] else wrong).append(VerifyItem(response, row["answer"]))
    verifier = ChoiceVerifier(ChoiceConfig())
    assert len(right) == COUNTS[subject]
    assert len(wrong) >= 2 * len(right)
    assert {verdict.status for verdict in verifier.verify(right)} == {"passed"}
    assert {verdict.status for verdict in verifier.verify(wrong)} == {"failed"}
