"""What the finished runs of a study come to: held-out accuracy by method, with intervals over seeds and prompts.

Reading runs, and whether they measure the same, is `mopd_core.analysis.finished_runs`'s business; intervals are
`mopd_core.analysis.bootstrap`'s. A quantity that the tables show is a field here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

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
from mopd_core.registry import Registries
from mopd_core.study.config import Study, StudyRun, total_rollouts
from mopd_core.study.states import StudyFolder
from mopd_core.tracking.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Point:
    """Held-out mean@k after so many rollouts, on the prompts that are evaluated during the run."""

    rollouts: int
    mean: Interval


@dataclass(frozen=True, slots=True)
class MethodResult:
    """A variant's finished runs. Intervals are of shares in [0, 1], over seeds and held-out prompts.

    difference: mean@k after, less that of the study's first variant; None for that one. to_target: rollouts by seed,
    None where a run never got there; empty where the study has no target. below_best: the most that a run ended below
    its best. rollouts, seconds: of training a run, the latter a mean.
    """

    variant: str
    seeds: tuple[int, ...]
    samples: int
    rollouts: int
    seconds: float
    mean_before: Interval
    mean_after: Interval
    gain: Interval
    pass_before: Interval
    pass_after: Interval
    difference: Interval | None
    below_best: float
    to_target: tuple[int | None, ...]
    curve: tuple[Point, ...]

    def intervals(self) -> dict[str, Interval]:
        """All of them, by name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if isinstance(value, Interval)}

    def as_dict(self) -> dict[str, Any]:
        """For JSON; intervals with null for what is not a number."""
        curve = [{"rollouts": point.rollouts, "mean": point.mean.as_dict()} for point in self.curve]
        return asdict(self) | {name: value.as_dict() for name, value in self.intervals().items()} | {"curve": curve}


@dataclass(frozen=True, slots=True)
class _Done:
    """A finished run with what of it is not in its evaluations."""

    run: StudyRun
    found: FinishedRun
    seconds: float

    @property
    def before(self) -> Evaluated:
        return self.found.evaluations[min(self.found.evaluations)]

    @property
    def after(self) -> Evaluated:
        return self.found.last

    def watched(self) -> dict[int, float]:
        """mean@k by rollouts, on the prompts that are evaluated during the run and were judged."""
        prompts = self.found.prompts[: self.run.config.evaluation.prompts]
        return {
            self.found.rollouts[step]: float(np.mean([shares[prompt] for prompt in prompts if prompt in shares]))
            for step, shares in ((step, _shares(each)) for step, each in sorted(self.found.evaluations.items()))
            if any(prompt in shares for prompt in prompts)
        }


def study_results(study: Study, folder: StudyFolder, registries: Registries) -> list[MethodResult]:
    """A result for every variant with a finished run, in the order of the study.

    Raises `ConfigError` where runs do not measure the same prompts in the same way.
    """
    done = {
        variant: [_read(run, folder, registries) for run in runs if folder.state(run) == "done"]
        for variant, runs in study.variants().items()
    }
    done = {variant: runs for variant, runs in done.items() if runs}
    everything = [each for runs in done.values() for each in runs]
    if not everything:
        return []
    found = [each.found for each in everything]
    check_comparable(found, registries)
    k = fewest_samples(found)
    prompts = judged_prompts(found, k)
    first = next(iter(done.values()))
    return [_result(variant, runs, first, prompts, k, study.config.target) for variant, runs in done.items()]


def _read(run: StudyRun, study_folder: StudyFolder, registries: Registries) -> _Done:
    path = study_folder.run_path(run)
    return _Done(run, read_run(path, registries), float(RunFolder.open(path).read_summary()["seconds"]))


def _shares(evaluated: Evaluated) -> dict[str, float]:
    """By prompt the share of its judged samples that succeeded; prompts without one are left out."""
    return {prompt: successes / known for prompt, (known, successes) in evaluated.outcomes.items() if known}


def _result(
    variant: str, runs: Sequence[_Done], first: Sequence[_Done], prompts: Sequence[str], k: int, target: float | None
) -> MethodResult:
    before = np.stack([means(each.before, prompts) for each in runs])
    after = np.stack([means(each.after, prompts) for each in runs])
    firsts = None if runs is first else np.stack([means(each.after, prompts) for each in first])
    watched = [each.watched() for each in runs]
    return MethodResult(
        variant=variant,
        seeds=tuple(each.run.seed for each in runs),
        samples=k,
        rollouts=total_rollouts(runs[0].run.config),
        seconds=sum(each.seconds for each in runs) / len(runs),
        mean_before=crossed_interval(before),
        mean_after=crossed_interval(after),
        gain=crossed_interval(after - before),
        pass_before=crossed_interval(np.stack([passed(each.before, prompts, k) for each in runs])),
        pass_after=crossed_interval(np.stack([passed(each.after, prompts, k) for each in runs])),
        difference=None if firsts is None else crossed_interval(after, firsts),
        below_best=max((max(each.values()) - [*each.values()][-1] for each in watched if each), default=0.0),
        to_target=tuple(_reaches(each, target) for each in watched) if target is not None else (),
        curve=tuple(_curve(runs)),
    )


def _reaches(means: Mapping[int, float], target: float) -> int | None:
    """After how many rollouts an evaluation first found the target; None where none did."""
    return next((rollouts for rollouts, mean in means.items() if mean >= target), None)


def _curve(runs: Sequence[_Done]) -> list[Point]:
    """A point for every evaluation that all runs have, on the prompts that all of these have judged."""
    steps = sorted(set.intersection(*(set(each.found.evaluations) for each in runs)))
    evaluated = [each.found.evaluations[step] for each in runs for step in steps]
    kept = set.intersection(*({*_shares(each)} for each in evaluated))
    prompts = [prompt for prompt in runs[0].found.prompts[: runs[0].run.config.evaluation.prompts] if prompt in kept]
    return [
        Point(
            runs[0].found.rollouts[step],
            crossed_interval(np.stack([means(each.found.evaluations[step], prompts) for each in runs])),
        )
        for step in steps
    ]
