"""The file of a study, and the runs that it asks for, each with a config that has been checked before any of them runs.

base: bundled.yaml                       # a config file beside this one, or sections; the bundled default if absent
options: [training.steps=60]             # for every run, as -o on the command line
methods: {MOPD: {}, GRPO: {objective: grpo}}
seeds: [0, 1, 2]
target: 0.8
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mopd_core.analysis.finished_runs import difference_in_measure, held_out_prompts, setting_of, without_neutral
from mopd_core.config.base import ConfigModel
from mopd_core.config.checks import check
from mopd_core.config.compose import RunConfig, compose
from mopd_core.config.load import BUNDLED_RECIPE, read_tree, validate
from mopd_core.config.merge import Tree, default_layer, merge, option_layer
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries


class StudyConfig(ConfigModel):
    """Methods x seeds over one base config, and what to look for in the results."""

    base: str | dict[str, Any] | None = None
    """A config file, its path from the study's file on, or the sections themselves; the bundled default when null."""

    options: tuple[str, ...] = ()
    """For every run: `path=value`, as `-o` on the command line."""

    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    """For every method, by its label, the sections and settings in which it differs from the base."""

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Every method is run with each of these."""

    search: dict[str, Annotated[tuple[int | float | str | bool, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """Values to try by path, such as `training.lr: [1e-4, 2e-4]`: every method is run with every combination, so that
    none is tuned more than another."""

    target: float | None = Field(default=None, gt=0, lt=1)
    """Held-out mean@k; the results say after how many rollouts a method has reached it."""


@dataclass(frozen=True, slots=True)
class StudyRun:
    """One run. name: of its folder. variant: the method's label with the values searched, the same for all seeds."""

    name: str
    method: str
    variant: str
    seed: int
    config: RunConfig


@dataclass(frozen=True, slots=True)
class Study:
    """All runs of a study, methods first, in the order of the file."""

    config: StudyConfig
    runs: tuple[StudyRun, ...]

    def variants(self) -> dict[str, list[StudyRun]]:
        """The runs of every variant, a seed each."""
        found: dict[str, list[StudyRun]] = {}
        for run in self.runs:
            found.setdefault(run.variant, []).append(run)
        return found

    def budgets(self) -> set[int]:
        """Rollouts that runs sample in all: one number where the comparison is under equal budgets."""
        return {total_rollouts(run.config) for run in self.runs}


def total_rollouts(config: RunConfig) -> int:
    """What a whole run samples for training."""
    return config.training.steps * config.rollout.prompts * config.rollout.group_size


def load_study(file: Path, registries: Registries) -> Study:
    """Read and check a study's file and the configs of all its runs. Raises `ConfigError` that names the run.

    Runs whose results could not be put side by side are refused here, before hours are spent on them.
    """
    tree = read_tree(file)
    config = validate(tree, StudyConfig, registries)
    base = _base(config, file)
    composed = compose(registries)
    layers = [default_layer(composed), base, option_layer(config.options)]
    runs: list[StudyRun] = []
    for method, overrides in config.methods.items():
        for values in _combinations(config.search):
            searched = option_layer(f"{path}={value}" for path, value in values.items())
            for seed in config.seeds:
                variant = ", ".join([method, *(f"{path}={value}" for path, value in values.items())])
                merged = merge([*layers, overrides, searched, {"seed": seed}], registries)
                runs.append(
                    StudyRun(
                        f"{_slug(variant)}-{seed}",
                        method,
                        variant,
                        seed,
                        _checked(f"{file}: method {variant!r}", merged, composed, registries),
                    )
                )
    _check_names(file, runs)
    _check_comparable(file, runs, registries)
    return Study(config, tuple(runs))


def _base(config: StudyConfig, file: Path) -> Tree:
    if isinstance(config.base, dict):
        return config.base
    return read_tree(BUNDLED_RECIPE if config.base is None else file.parent / config.base)


def _combinations(search: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the values searched; one empty one where nothing is."""
    for values in product(*search.values()):
        yield dict(zip(search, values, strict=True))


def _checked(who: str, tree: Tree, composed: type[RunConfig], registries: Registries) -> RunConfig:
    try:
        config = validate(tree, composed, registries)
        check(config, registries)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{who}: {line}" for line in str(error).splitlines())) from None
    return config


def _slug(label: str) -> str:
    """A folder's name: what is neither letter, digit nor dot becomes a dash."""
    words = "".join(c if c.isalnum() or c == "." else " " for c in label.lower()).split()
    return "-".join(words)


def _check_names(file: Path, runs: Sequence[StudyRun]) -> None:
    seen: dict[str, StudyRun] = {}
    for run in runs:
        other = seen.setdefault(run.name, run)
        if other is not run:
            raise ConfigError(
                f"{file}: {other.variant!r} and {run.variant!r} with seed {run.seed} would share the folder "
                f"{run.name!r}; give methods labels with other letters or digits, and every seed once"
            )


def _check_comparable(file: Path, runs: Sequence[StudyRun], registries: Registries) -> None:
    """Data is loaded only where methods differ in it."""
    held_out = cache(lambda number: held_out_prompts(runs[number].config, registries, None))
    first = runs[0]
    ours = without_neutral(first.config.model_dump(mode="json"), registries)
    for number, run in enumerate(runs):
        theirs = without_neutral(run.config.model_dump(mode="json"), registries)
        if setting_of(theirs, "data.held_out") == 0:
            raise ConfigError(
                f"{file}: method {run.variant!r} has data.held_out 0, which leaves no prompts to measure it on; set it "
                "to how many, or a share"
            )
        difference = difference_in_measure(ours, theirs)
        if difference is None and ours["data"] != theirs["data"] and held_out(0) != held_out(number):
            difference = "their data sections do not hold out the same prompts"
        if difference is not None:
            raise ConfigError(
                f"{file}: methods {first.variant!r} and {run.variant!r} cannot be compared: {difference}; let it be "
                "the same for both"
            )
