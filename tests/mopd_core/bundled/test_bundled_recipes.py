from __future__ import annotations

import pytest

from mopd_core.bundled import MODELS
from mopd_core.config.load import BUNDLED_RECIPES, load_config
from mopd_core.config.reference import built_in
from mopd_core.training.models import resolve_path

PLUGINS = built_in()


def test_without_a_verifier_the_tasks_are_chains():
    config = load_config(None, PLUGINS)
    assert (config.model.path, config.data.family, config.verifier.name) == ("bundled", "chain", "math")


@pytest.mark.parametrize("verifier", BUNDLED_RECIPES)
def test_a_recipe_is_for_the_verifier_that_finds_it(verifier):
    assert load_config(BUNDLED_RECIPES[verifier], PLUGINS).verifier.name == verifier


@pytest.mark.parametrize(
    "given",
    [
        {"choices": {"verifier": "code"}},
        {"options": ["verifier=code"]},
        {"options": ["verifier.name=code", "verifier.workers=1"]},
    ],
    ids=["flag", "option", "path"],
)
def test_the_verifier_code_brings_programs_and_their_model(given):
    config = load_config(None, PLUGINS, **given)
    assert (config.model.path, config.data.family, config.verifier.name) == ("bundled-programs", "programs", "code")
    assert config.verifier.timeout_s == 2


def test_options_and_choices_change_the_recipe():
    options = ["data.seed=3", "training.steps=2", "verifier.timeout_s=5"]
    config = load_config(None, PLUGINS, choices={"verifier": "code", "objective": "grpo"}, options=options)
    assert (config.data.seed, config.training.steps, config.verifier.timeout_s) == (3, 2, 5)
    assert (config.model.path, config.objective.name) == ("bundled-programs", "grpo")


def test_a_file_and_a_stored_config_take_the_recipes_place(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("{data: bundled, verifier: code}", encoding="utf-8")
    assert load_config(file, PLUGINS, choices={"verifier": "code"}).model.path == "bundled"
    stored = {"data": "bundled"}
    assert load_config(None, PLUGINS, choices={"verifier": "code"}, stored=stored).data.family == "chain"


@pytest.mark.parametrize("name", MODELS)
def test_a_bundled_model_is_found_by_its_name(name):
    assert resolve_path(name) == str(MODELS[name])
