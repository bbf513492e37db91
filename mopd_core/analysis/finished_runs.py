"""What runs to be compared left behind, read and checked: they have to measure the same prompts in the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mopd_core.analysis.diversity import pass_at_k
from mopd_core.boundary import plugin_boundary
from mopd_core.config.compose import RunConfig
from mopd_core.config.load import load_config
from mopd_core.contexts import RunContext
from mopd_core.errors import CheckpointError, ConfigError
from mopd_core.registry import Registries, Registry
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.types import Json, Prompt

Floats = NDArray[np.float64]

SAME = ("verifier", "routed_verifiers", "rollout.success_threshold", "evaluation.sampling")
"""Settings that decide what an evaluation measures."""

PLUGIN_SECTIONS = {
    "generator": "generators",
    "verifier": "verifiers",
    "routed_verifiers": "verifiers",
    "teacher": "teachers",
}
"""Sections of a config whose plugins have options that may change no result."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation: samples a prompt, and by prompt how many were judged and how many of those succeeded."""

    step: int
    samples: int
    outcomes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run's config, its evaluations by step, and what training had sampled by then: rollouts and their tokens."""

    path: Path
    config: Mapping[str, Json]
    evaluations: Mapping[int, Evaluated]
    rollouts: Mapping[int, int]
    tokens: Mapping[int, int]

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def prompts(self) -> list[str]:
        """The held-out prompts: those of the first evaluation, which is of all of them."""
        return list(self.evaluations[min(self.evaluations)].outcomes)

    @property
    def last(self) -> Evaluated:
        """The last evaluation of all held-out prompts."""
        whole = [each for each in self.evaluations.values() if len(each.outcomes) == len(self.prompts)]
        return max(whole, key=lambda each: each.step)

    @property
    def steps(self) -> int:
        """How many steps the run is to have."""
        return int(setting_of(self.config, "training.steps"))


def read_run(path: Path, registries: Registries) -> FinishedRun:
    """Read a run's folder; of its config, what results may depend on.

    Raises `CheckpointError` where there is none, or nothing in it that could be paired.
    """
    folder = RunFolder.open(path)
    steps = folder.evaluation_steps()
    if not steps:
        raise CheckpointError(
            f"{str(path)!r} has no evaluations/: the run was made before what became of each held-out prompt was kept, "
            "or has not evaluated yet. It cannot be paired with another run; train it again"
        )
    evaluations = {step: _evaluated(folder, step) for step in steps}
    config = without_neutral(folder.read_config(), registries)
    if not evaluations[steps[0]].outcomes:
        raise CheckpointError(f"{str(path)!r} has no held-out prompts; set data.held_out to how many, or a share")
    try:
        return FinishedRun(path, config, evaluations, *_sampled(folder, config))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder.config_path} or {folder.metrics_path} is damaged: {type(error).__name__}: {error}"
        ) from error


def check_comparable(runs: Sequence[FinishedRun], registries: Registries) -> None:
    """Raise `ConfigError` that names the difference where two runs measure other prompts, or in another way."""
    first = runs[0]
    for run in runs[1:]:
        _check_prompts(first, run)
        if (difference := difference_in_measure(first.config, run.config)) is not None:
            raise _incomparable(first, run, difference)
        if first.config["data"] != run.config["data"]:
            _check_contents(first, run, registries)


def difference_in_measure(first: Mapping[str, Json], other: Mapping[str, Json]) -> str | None:
    """The first setting by which the evaluations of two configs do not measure the same; None where there is none."""
    for setting in SAME:
        ours, theirs = setting_of(first, setting), setting_of(other, setting)
        if ours != theirs:
            return f"{setting} is {json.dumps(ours)} and {json.dumps(theirs)}"
    return None


def judged_prompts(runs: Sequence[FinishedRun], k: int) -> list[str]:
    """The held-out prompts of which every run has at least `k` judged samples, before training and at its end."""
    measured = [each for run in runs for each in (run.evaluations[min(run.evaluations)], run.last)]
    return [name for name in runs[0].prompts if all(each.outcomes[name][0] >= k for each in measured)]


def fewest_samples(runs: Sequence[FinishedRun]) -> int:
    """The k of mean@k and pass@k: samples a prompt of the smallest evaluation."""
    return min(each.samples for run in runs for each in run.evaluations.values())


def passed(evaluated: Evaluated, names: Sequence[str], k: int) -> Floats:
    """pass@k of these prompts, [P]."""
    return pass_at_k(*_counts(evaluated, names), k)


def means(evaluated: Evaluated, names: Sequence[str]) -> Floats:
    """mean@k of these prompts, [P]: the share of judged samples that succeeded."""
    known, successes = _counts(evaluated, names)
    return successes / known


def _counts(evaluated: Evaluated, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Judged samples and successes, [P] each."""
    known, successes = np.array([evaluated.outcomes[name] for name in names], dtype=np.float64).reshape(-1, 2).T
    return known, successes


def without_neutral(config: Mapping[str, Json], registries: Registries) -> dict[str, Json]:
    """A config less the options of its plugins that no result depends on; of a plugin that is not there, all stay."""
    return {
        section: _without_neutral(value, registries[PLUGIN_SECTIONS[section]]) if section in PLUGIN_SECTIONS else value
        for section, value in config.items()
    }


def setting_of(config: Mapping[str, Json], path: str) -> Json:
    """A setting by its dotted path; None where there is none."""
    value: Json = config
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _evaluated(folder: RunFolder, step: int) -> Evaluated:
    found = folder.read_evaluation(step)
    outcomes = {each["id"]: (each["known"], each["successes"]) for each in found["prompts"]}
    return Evaluated(step, found["samples"], outcomes)


def _without_neutral(value: Json, registry: Registry[Any, Any]) -> Json:
    if isinstance(value, list):
        return [_without_neutral(each, registry) for each in value]
    if not isinstance(value, Mapping):
        return value
    name = value.get("name")
    neutral = registry.get(name).config_type.result_neutral if name in registry.names() else frozenset()
    return {key: _without_neutral(item, registry) for key, item in value.items() if key not in neutral}


def _sampled(folder: RunFolder, config: Mapping[str, Json]) -> tuple[dict[int, int], dict[int, int]]:
    """Rollouts and their tokens by step, summed up to it."""
    a_step = int(setting_of(config, "rollout.prompts")) * int(setting_of(config, "rollout.group_size"))
    rollouts, tokens = {0: 0}, {0: 0}
    for number, record in enumerate(folder.read_metrics(), start=1):
        rollouts[record["step"]] = number * a_step
        tokens[record["step"]] = tokens[record["step"] - 1] + round(record["rollout/length_mean"] * a_step)
    return rollouts, tokens


def _check_prompts(first: FinishedRun, run: FinishedRun) -> None:
    ours, theirs = set(first.prompts), set(run.prompts)
    for one, other, only in ((first, run, ours - theirs), (run, first, theirs - ours)):
        if only:
            raise _incomparable(
                first,
                run,
                f"{len(only)} of the {len(one.prompts)} prompts that {str(one.path)!r} holds out are none of the "
                f"{len(other.prompts)} of {str(other.path)!r}, such as {min(only)!r}",
            )


def _check_contents(first: FinishedRun, run: FinishedRun, registries: Registries) -> None:
    """Prompts of one id may still be others: what another seed has generated, or another file holds."""
    ours, theirs = (
        held_out_prompts(load_config(None, registries, stored=each.config), registries, each.path)
        for each in (first, run)
    )
    for name in first.prompts:
        if ours.get(name) != theirs.get(name):
            raise _incomparable(first, run, f"the held-out prompt {name!r} is not the same in both")


def held_out_prompts(config: RunConfig, registries: Registries, folder: Path | None) -> dict[str, tuple[Any, ...]]:
    """What a run with this config holds out, by id; folder: the run's, if there is one."""
    with plugin_boundary(f"dataset {config.data.name!r}"):
        source = registries["datasets"].build(config.data, RunContext(config.seed, registries, folder))
        prompts: Sequence[Prompt] = source.load().held_out
    return {prompt.id: (prompt.messages, prompt.reference, prompt.verifier) for prompt in prompts}


def _incomparable(first: FinishedRun, run: FinishedRun, difference: str) -> ConfigError:
    return ConfigError(f"{str(first.path)!r} and {str(run.path)!r} cannot be compared: {difference}")
