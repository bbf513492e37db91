"""`mopd compare`: runs side by side, paired over the held-out prompts that they share. No torch.

Runs that differ in nothing but the seed are one method; its numbers are means over its runs, and its intervals draw
both runs and prompts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mopd_core.analysis.bootstrap import Interval, crossed_interval
from mopd_core.analysis.finished_runs import (
    Evaluated,
    FinishedRun,
    check_comparable,
    fewest_samples,
    judged_prompts,
    means,
    passed,
    read_run,
)
from mopd_core.config.resume import MAY_CHANGE
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries

Floats = NDArray[np.float64]
Score = Callable[[Evaluated, Sequence[str]], Floats]


@dataclass(frozen=True, slots=True)
class Method:
    """Runs of one config but for the seed. name: the folder's, or what those of several runs begin with."""

    name: str
    runs: tuple[FinishedRun, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation of a method: what training had sampled by then, means over runs, and the watched prompts' mean."""

    step: int
    rollouts: float
    tokens: float
    mean: Interval


@dataclass(frozen=True, slots=True)
class Reached:
    """What it took to reach the target, means over the runs that did, NaN where none did."""

    runs: int
    rollouts: float
    tokens: float


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method: held-out accuracy before and after, and how far it is from the first one's, prompt by prompt."""

    method: Method
    before: Interval
    mean: Interval
    passed: Interval
    mean_difference: Interval | None
    passed_difference: Interval | None
    curve: tuple[Point, ...]
    reached: Reached | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All methods in the order given. k: samples a prompt; prompts: those that all runs have judged.

    settings: what differs between methods, by path, a value for each. target: the accuracy to be reached, if any.
    """

    rows: tuple[MethodRow, ...]
    k: int
    prompts: int
    left_out: int
    settings: Mapping[str, tuple[str, ...]]
    target: float | None


def compare(paths: Sequence[Path], registries: Registries, target: float | None = None) -> Comparison:
    """Read and compare the runs in these folders; the first one is what the others are compared with.

    target: held-out mean@k in (0, 1]. Raises `MopdError` where runs cannot be paired.
    """
    if target is not None and not 0 < target <= 1:
        raise ConfigError(f"--target is {target:g}; allowed: an accuracy above 0 and up to 1")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("a run is named twice; name each once")
    runs = [read_run(path, registries) for path in paths]
    check_comparable(runs, registries)
    methods = _methods(runs)
    k = fewest_samples(runs)
    prompts = judged_prompts(runs, k)
    if not prompts:
        raise ConfigError(f"no held-out prompt has {k} judged samples in all of these runs")
    rows = tuple(_row(method, methods[0], prompts, k, _watched(runs, prompts), target) for method in methods)
    return Comparison(rows, k, len(prompts), len(runs[0].prompts) - len(prompts), _settings(methods), target)


def _methods(runs: Sequence[FinishedRun]) -> list[Method]:
    groups: list[list[FinishedRun]] = []
    for run in runs:
        same = (
            group for group in groups if _recipe(group[0]) == _recipe(run) and run.seed not in {r.seed for r in group}
        )
        group = next(same, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    names = [_name(group) for group in groups]
    if len(set(names)) < len(names):
        names = [str(group[0].path) for group in groups]
    return [Method(name, tuple(group)) for name, group in zip(names, groups, strict=True)]


def _recipe(run: FinishedRun) -> dict[str, str]:
    """All settings but the seed, and those that change no result."""
    ignored = ("seed", *MAY_CHANGE)
    return {
        path: value
        for path, value in _flat(run.config, "")
        if not any(path == each or path.startswith(f"{each}.") for each in ignored)
    }


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _name(runs: Sequence[FinishedRun]) -> str:
    names = [run.path.resolve().name for run in runs]
    if len(names) == 1:
        return names[0]
    common = "".join(
        letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    return common.rstrip("0123456789").removesuffix("seed").rstrip("-_. ") or names[0]


def _settings(methods: Sequence[Method]) -> dict[str, tuple[str, ...]]:
    recipes = [_recipe(method.runs[0]) for method in methods]
    paths = dict.fromkeys(path for recipe in recipes for path in recipe)
    values = {path: tuple(recipe.get(path, "–") for recipe in recipes) for path in paths}
    return {path: of_methods for path, of_methods in values.items() if len(set(of_methods)) > 1}


def _watched(runs: Sequence[FinishedRun], prompts: Sequence[str]) -> list[str]:
    """Those of the prompts that every evaluation of every run has judged samples of."""
    all_evaluations = [each for run in runs for each in run.evaluations.values()]
    return [name for name in prompts if all(each.outcomes.get(name, (0, 0))[0] for each in all_evaluations)]


def _row(
    method: Method, first: Method, prompts: Sequence[str], k: int, watched: Sequence[str], target: float | None
) -> MethodRow:
    def at_k(evaluated: Evaluated, names: Sequence[str]) -> Floats:
        return passed(evaluated, names, k)

    def table(of: Method, score: Score) -> Floats:
        return np.stack([score(run.last, prompts) for run in of.runs])

    before = np.stack([means(run.evaluations[min(run.evaluations)], prompts) for run in method.runs])
    is_first = method is first
    return MethodRow(
        method,
        crossed_interval(before),
        crossed_interval(table(method, means)),
        crossed_interval(table(method, at_k)),
        None if is_first else crossed_interval(table(method, means), table(first, means)),
        None if is_first else crossed_interval(table(method, at_k), table(first, at_k)),
        tuple(_curve(method, watched)),
        None if target is None else _reached(method, watched, target),
    )


def _curve(method: Method, watched: Sequence[str]) -> Iterator[Point]:
    """The evaluations that all runs of a method have."""
    common = set.intersection(*(set(run.evaluations) & set(run.rollouts) for run in method.runs))
    for step in sorted(common):
        table = np.stack([means(run.evaluations[step], watched) for run in method.runs])
        rollouts, tokens = ([getattr(run, name)[step] for run in method.runs] for name in ("rollouts", "tokens"))
        yield Point(step, float(np.mean(rollouts)), float(np.mean(tokens)), crossed_interval(table))


def _reached(method: Method, watched: Sequence[str], target: float) -> Reached:
    """By the first evaluation of each run that is at the target or above."""
    found = []
    for run in method.runs:
        steps = (step for step, each in sorted(run.evaluations.items()) if step in run.rollouts and watched)
        step = next((step for step in steps if means(run.evaluations[step], watched).mean() >= target), None)
        if step is not None:
            found.append((run.rollouts[step], run.tokens[step]))
    rollouts, tokens = np.mean(found, axis=0) if found else (np.nan, np.nan)
    return Reached(len(found), float(rollouts), float(tokens))
