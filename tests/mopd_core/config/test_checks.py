"""Settings that are each valid and do not go together."""

from __future__ import annotations

import pytest

from mopd_core.config.checks import default_note
from mopd_core.config.load import load_config
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries, load_plugins


@pytest.mark.parametrize("successes", [2, 5])
def test_a_group_too_small_for_the_selector_is_refused(registries: Registries, successes: int):
    options = [f"selector.successes={successes}", f"rollout.group_size={successes}"]
    with pytest.raises(ConfigError) as caught:
        load_config(None, registries, options=options)
    assert str(caught.value) == (
        f"rollout.group_size is {successes}, but selector 'contrastive' needs at least {successes + 1}: "
        "raise rollout.group_size, or choose another selector"
    )


def test_a_group_just_large_enough_is_fine(registries: Registries):
    assert load_config(None, registries, options=["rollout.group_size=3"]).rollout.group_size == 3


def test_a_group_of_one_is_fine_where_nobody_needs_peers(registries: Registries):
    config = load_config(None, registries, options=["rollout.group_size=1", "selector=none"])
    assert config.rollout.group_size == 1


def test_a_step_with_too_few_prompts_for_the_selector_is_refused(registries: Registries):
    options = ["selector=summaries", "context.summary_request=Sum it up.", "rollout.prompts=1"]
    with pytest.raises(ConfigError, match=r"rollout\.prompts is 1, but selector 'summaries' needs at least 2: raise"):
        load_config(None, registries, options=options)
    assert load_config(None, registries, options=[*options, "rollout.prompts=2"]).rollout.prompts == 2


def test_a_selector_without_what_it_works_with_is_refused(registries: Registries):
    with pytest.raises(ConfigError) as caught:
        load_config(None, registries, options=["selector=summaries"])
    assert str(caught.value) == (
        "context.summary_request is empty, and without it selector 'summaries' has nothing to work with: "
        "set context.summary_request, or choose another selector"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["selector=summary"], "context.summary_request is empty"),
        (["selector=unrelated-prompt", "rollout.prompts=1"], "rollout.prompts is 1"),
    ],
)
def test_built_in_selectors_that_could_never_show_anything(options: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        load_config(None, load_plugins(), options=options)


SAMPLED = ["divergence=reverse-kl", "objective.estimator=sampled"]


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("top_k=8", "8"),
        ("remainder=renormalise", "'renormalise'"),
        ("support=teacher", "'teacher'"),
        ("temperature=2", "2.0"),
    ],
)
def test_the_sampled_estimator_ignores_no_option(option: str, given: str):
    name = option.split("=")[0]
    with pytest.raises(ConfigError) as caught:
        load_config(None, load_plugins(), options=[*SAMPLED, f"divergence.{option}"])
    assert str(caught.value).startswith(f"divergence.{name} is {given}, but objective.estimator is 'sampled'")


def test_the_sampled_estimator_with_the_divergences_defaults_is_fine():
    assert load_config(None, load_plugins(), options=SAMPLED).divergence.name == "reverse-kl"


@pytest.mark.parametrize(
    "option",
    ["training.betas=[0.9, 1]", "training.betas=[-0.1, 0.9]", "training.betas=[1.5, 0.9]", "training.threads=4096"],
)
def test_what_torch_would_refuse_is_refused_before(registries: Registries, option: str):
    with pytest.raises(ConfigError, match=option.split("=")[0]):
        load_config(None, registries, options=[option])


@pytest.mark.parametrize("names", ["[math]", "[code, code]"])
def test_a_verifier_configured_twice_is_refused(registries: Registries, names: str):
    with pytest.raises(ConfigError, match=r"routed_verifiers: '(math|code)' is configured twice"):
        load_config(None, registries, options=[f"routed_verifiers={names}"])


def test_a_tracker_configured_twice_is_refused(registries: Registries):
    with pytest.raises(ConfigError, match=r"tracking\.trackers: 'line' is configured twice"):
        load_config(None, registries, options=["tracking.trackers=[line, line]"])


def test_a_guard_that_could_never_stop_is_refused(registries: Registries):
    with pytest.raises(ConfigError, match=r"evaluation\.guard is 'stop', but evaluation\.every is 0"):
        load_config(None, registries, options=["evaluation.guard=stop", "evaluation.every=0"])


@pytest.mark.parametrize("options", [["model.path=mine"], ["data.path=mine.jsonl"]])
def test_who_brings_their_own_is_told_whose_settings_apply(registries: Registries, options: list[str]):
    note = default_note(load_config(None, registries, options=options), options)
    assert note is not None
    assert "(training.lr 0.0002, training.steps 60, rollout.sampling.max_tokens " in note


def test_settings_that_were_given_are_not_called_the_defaults(registries: Registries):
    options = ["data.path=mine.jsonl", "training.lr=3e-3", "training.steps=5"]
    note = default_note(load_config(None, registries, options=options), options)
    assert note is not None
    assert "lr" not in note
    assert "training.steps" not in note
    assert "(rollout.sampling.max_tokens " in note
    options.append("rollout.sampling.max_tokens=64")
    assert default_note(load_config(None, registries, options=options), options) is None


def test_who_brings_nothing_is_told_nothing(registries: Registries):
    assert default_note(load_config(None, registries)) is None
