from __future__ import annotations

from random import Random
from typing import get_args

import pytest

from mopd_core.bundled.families import FAMILIES, Split, split_of


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_share_no_question_whatever_the_seed(family):
    questions = {
        split: {p.question for seed in range(2) for p in FAMILIES[family].problems(split, 150, seed)}
        for split in get_args(Split)
    }
    assert questions["train"].isdisjoint(questions["held_out"])
    assert questions["pretrain"].isdisjoint(questions["train"] | questions["held_out"])


@pytest.mark.parametrize(("family", "splits"), [("chain", "thpttpttphpt"), ("programs", "ttppppphppph")])
def test_the_split_of_a_question_never_changes(family, splits):
    """Pinned: the shipped models were trained on what these hashes called `pretrain`."""
    rng = Random(0)
    assert "".join(split_of(FAMILIES[family].draw(rng).question)[0] for _ in range(12)) == splits


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_same_seed_gives_the_same_distinct_problems_and_more_adds_to_them(family):
    problems = family.problems("train", 100, seed=1)
    assert family.problems("train", 100, seed=1) == problems
    assert family.problems("train", 150, seed=1)[:100] == problems
    assert len(set(problems)) == 100
    assert family.problems("train", 100, seed=2) != problems
