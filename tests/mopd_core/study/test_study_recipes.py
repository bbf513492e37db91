"""The studies in recipes/: all methods under one budget, the same search for each, and bases that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mopd_core.bundled import MODELS
from mopd_core.config.load import BUNDLED_RECIPES, load_config
from mopd_core.study.config import load_study

FOLDER = Path(__file__).parents[3] / "recipes"
STUDIES = sorted(FOLDER.glob("study-*.yaml"))
CONTROLS = {"random-peer", "unrelated-prompt", "success-only-matched"}


SAME = ("model", "data", "rollout", "context", "generator", "verifier", "evaluation")


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_methods_have_one_budget_and_differ_in_nothing_else_but_a_rate_that_was_searched_for(file, plugins):
    study = load_study(file, plugins)
    assert len(study.budgets()) == 1
    first = study.runs[0].config.model_dump()
    searched = {
        float(value) for value in load_study(FOLDER / "study-search.yaml", plugins).config.search["training.lr"]
    }
    given = {float(value) for value in study.config.search.get("training.lr", ())}
    for method in study.config.methods:
        runs = [run.config.model_dump() for run in study.runs if run.method == method]
        rates = {run["training"]["lr"] for run in runs}
        assert rates == given or len(rates) == 1
        assert rates <= searched or rates == {first["training"]["lr"]}
        for run in runs:
            assert [run[section] for section in SAME] == [first[section] for section in SAME]
            assert {**run["training"], "lr": 0} == {**first["training"], "lr": 0}
    assert {run.config.selector.name for run in study.runs} >= CONTROLS


@pytest.mark.parametrize("name", ["bundled", "programs"])
def test_a_study_of_bundled_tasks_is_of_the_methods_that_were_searched_for(name, plugins):
    studied, searched = (load_study(FOLDER / f"study-{each}.yaml", plugins) for each in (name, "search"))
    assert len(studied.config.methods) == 11
    assert list(studied.config.methods) == list(searched.config.methods)
    for method, options in studied.config.methods.items():
        assert {key: value for key, value in options.items() if key != "training"} == searched.config.methods[method]
    assert len(studied.config.seeds) == 5
    assert not set(searched.config.seeds) & set(studied.config.seeds)
    objectives = {run.config.objective.name for run in studied.runs}
    assert objectives == {"distill", "opd", "grpo", "verified-sft", "dpo", "simpo"}
    assert studied.runs[0].config.model.path in MODELS


def test_the_programs_base_is_the_bundled_default_for_programs_but_shorter(plugins):
    study = load_study(FOLDER / "study-programs.yaml", plugins)
    base, default = study.runs[0].config, load_config(BUNDLED_RECIPES["code"], plugins)
    assert base.training.steps == default.training.steps // 2
    shorter = {
        "data": {"held_out": base.data.held_out},
        "training": {"steps": base.training.steps, "lr": base.training.lr},
        "evaluation": {"every": base.evaluation.every},
    }
    expected = default.model_dump()
    for section, values in shorter.items():
        expected[section] |= values
    assert base.model_dump() == expected
