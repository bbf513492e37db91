"""What sections of a config ask of each other, checked once each section is valid by itself.

A new check is a function that raises `ConfigError`, and its line in `check`. What is only worth a remark is a note.
"""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.config.base import PluginChoice
from mopd_core.config.compose import RunConfig
from mopd_core.errors import ConfigError
from mopd_core.objectives.config import DistillConfig, WeightedSumConfig


def check(config: RunConfig) -> None:
    """Raise `ConfigError` for a combination of settings that cannot work."""
    _check_group_size(config)
    _check_once("routed_verifiers", [config.verifier, *config.routed_verifiers])
    _check_once("tracking.trackers", config.tracking.trackers)
    _check_guard(config)
    _check_estimator(config)


def default_note(config: RunConfig) -> str | None:
    """What to tell somebody who brings a model or data of their own, but no config file: whose settings apply."""
    if config.model.path == "bundled" and config.data.name == "bundled":
        return None
    return (
        f"no config file: the bundled default's settings apply (training.lr {config.training.lr:g}, training.steps "
        f"{config.training.steps}, rollout.sampling.max_tokens {config.rollout.sampling.max_tokens}), made for its "
        "tiny model. `mopd config show` prints them all, -o path=value changes them"
    )


def _check_group_size(config: RunConfig) -> None:
    size = config.rollout.group_size
    for section, choice in (("selector", config.selector), ("objective", config.objective)):
        smallest = choice.min_group_size()
        if size < smallest:
            raise ConfigError(
                f"rollout.group_size is {size}, but {section} {choice.name!r} needs at least {smallest}: "
                f"raise rollout.group_size, or choose another {section}"
            )


def _check_once(where: str, choices: Sequence[PluginChoice]) -> None:
    names = [choice.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: {name!r} is configured twice; one of its settings would never be used")


def _check_guard(config: RunConfig) -> None:
    if config.evaluation.guard == "stop" and config.evaluation.every == 0:
        raise ConfigError(
            "evaluation.guard is 'stop', but evaluation.every is 0, so nothing is evaluated during the run that could "
            "stop it: set evaluation.every to 1 or more, or evaluation.guard to 'off'"
        )


def _check_estimator(config: RunConfig) -> None:
    objective: object = config.objective
    where = "objective"
    if isinstance(objective, WeightedSumConfig):
        objective, where = objective.distill, "objective.distill"
    is_sampled = isinstance(objective, DistillConfig) and objective.estimator == "sampled"
    if is_sampled and config.divergence.name != "reverse-kl":
        raise ConfigError(
            f"{where}.estimator is 'sampled', which estimates the reverse KL, but the divergence is "
            f"{config.divergence.name!r}: choose the divergence 'reverse-kl', or set {where}.estimator to 'full'"
        )
