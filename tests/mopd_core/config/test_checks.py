"""Settings that are each valid and do not go together."""

from __future__ import annotations

import pytest

from mopd_core.config.checks import default_note
from mopd_core.config.load import load_config
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries


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
    note = default_note(load_config(None, registries, options=[*options, "training.lr=3e-3"]))
    assert note is not None
    assert "training.lr 0.003" in note


def test_who_brings_nothing_is_told_nothing(registries: Registries):
    assert default_note(load_config(None, registries)) is None
