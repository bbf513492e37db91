"""What sections of a config ask of each other, checked once each section is valid by itself.

A new check is a function that raises `ConfigError`, and its line in `check`. What is only worth a remark is a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple, cast

from mopd_core.boundary import plugin_boundary, sources_named
from mopd_core.bundled import MODELS
from mopd_core.config.base import PluginChoice
from mopd_core.config.choices import choices_in
from mopd_core.config.compose import RunConfig
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.errors import ConfigError, PluginError
from mopd_core.objectives.config import DistillConfig, WeightedSumConfig
from mopd_core.registry import Registries


def check(config: RunConfig, registries: Registries) -> None:
    """Raise `ConfigError` for a combination of settings that cannot work.

    Every plugin that is chosen is asked, wherever that is. Raises `PluginError` for one whose answer is a fault.
    """
    chosen = [_Chosen(_noun(choice, registries), choice) for _, choice in choices_in(config)]
    with sources_named(registries):
        for one in chosen:
            _check_step_size(config, one)
        for one in chosen:
            _check_needed_settings(config, one)
    _check_once("routed_verifiers", [config.verifier, *config.routed_verifiers])
    _check_once("tracking.trackers", config.tracking.trackers)
    _check_guard(config)
    _check_estimator(config)
    with sources_named(registries):
        for one in chosen:
            _check_conflict(config, one)


class _Chosen(NamedTuple):
    """A plugin that the config chooses. noun: its kind, in the singular."""

    noun: str
    choice: PluginChoice

    def __str__(self) -> str:
        return f"{self.noun} {self.choice.name!r}"


def _noun(choice: PluginChoice, registries: Registries) -> str:
    return next(
        entry.kind[:-1]
        for entry in registries.entries()
        if entry.name == choice.name and isinstance(choice, entry.config_type)
    )


_OWN_OF_A_MODEL = ("training.lr", "training.steps", "rollout.sampling.max_tokens")
"""Settings that what suits the bundled model hardly suits another."""


def default_note(config: RunConfig, options: Iterable[str] = ()) -> str | None:
    """What to tell somebody who brings a model or data of their own, but no config file: whose settings apply.

    options: the `path=value` texts that were given; what they set is not the default's.
    """
    given = {option.partition("=")[0].strip() for option in options}
    left = [f"{path} {_setting(config, path)}" for path in _OWN_OF_A_MODEL if path not in given]
    if not left or (config.model.path in MODELS and config.data.name == "bundled"):
        return None
    return (
        f"no config file: settings that are not given are the bundled default's ({', '.join(left)}), made for its tiny "
        "model. `mopd config show` prints them all, -o path=value changes them"
    )


def _setting(config: RunConfig, path: str) -> object:
    return reduce(getattr, path.split("."), cast("object", config))


def _check_step_size(config: RunConfig, chosen: _Chosen) -> None:
    choice = chosen.choice
    with plugin_boundary(str(chosen)):
        for path, smallest in (
            ("rollout.group_size", choice.min_group_size()),
            ("rollout.prompts", choice.min_prompts()),
        ):
            size = cast("int", _setting(config, path))
            if size < smallest:
                raise ConfigError(
                    f"{path} is {size}, but {chosen} needs at least {smallest}: "
                    f"raise {path}, or choose another {chosen.noun}"
                )


def _check_needed_settings(config: RunConfig, chosen: _Chosen) -> None:
    for path in sorted(chosen.choice.needed_settings):
        try:
            setting = _setting(config, path)
        except AttributeError:
            raise PluginError(
                f"{chosen} needs the setting {path!r}, and a run's config has none of that name"
            ) from None
        if not setting:
            raise ConfigError(
                f"{path} is empty, and without it {chosen} has nothing to work with: "
                f"set {path}, or choose another {chosen.noun}"
            )


def _check_conflict(config: RunConfig, chosen: _Chosen) -> None:
    with plugin_boundary(str(chosen)):
        reason = chosen.choice.conflict(config)
    if reason is not None:
        raise ConfigError(f"{chosen}: {reason}")


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
    if not (isinstance(objective, DistillConfig) and objective.estimator == "sampled"):
        return
    if config.divergence.name != "reverse-kl":
        raise ConfigError(
            f"{where}.estimator is 'sampled', which estimates the reverse KL, but the divergence is "
            f"{config.divergence.name!r}: choose the divergence 'reverse-kl', or set {where}.estimator to 'full'"
        )
    for name, field in DivergenceConfig.model_fields.items():
        if (value := getattr(config.divergence, name)) != field.default:
            raise ConfigError(
                f"divergence.{name} is {value!r}, but {where}.estimator is 'sampled', which reads the sampled token "
                f"alone and would ignore it: leave divergence.{name} out, or set {where}.estimator to 'full'"
            )
