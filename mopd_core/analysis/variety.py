"""How varied a run's saved rollouts are, step by step: `diversity`'s measures, means over prompts with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mopd_core.analysis.bootstrap import Interval, mean_interval
from mopd_core.analysis.diversity import pass_at_k, text_diversity
from mopd_core.analysis.saved_groups import SavedStep
from mopd_core.analysis.teacher_signal import by_prompt, prompt_key
from mopd_core.types import RolloutGroup

ALL_STEPS = 0
"""The number of the row over all steps."""


@dataclass(frozen=True, slots=True)
class VarietyRow:
    """One step, or with `ALL_STEPS` all of them. measures: by name."""

    step: int
    measures: Mapping[str, Interval]


def variety_rows(steps: Sequence[SavedStep]) -> list[VarietyRow]:
    """A row a step, ascending, of all runs that have it; and one of all steps where there are several."""
    found = [(step.step, prompt_key(group.prompt), _measures(group)) for step in steps for group in step.groups]
    numbers = sorted({step.step for step in steps})
    wanted = [*numbers, ALL_STEPS] if len(numbers) > 1 else numbers
    return [
        VarietyRow(number, _intervals([(prompt, values) for step, prompt, values in found if number in (step, 0)]))
        for number in wanted
    ]


def powers_of_two(most: int) -> Iterator[int]:
    """1, 2, 4 and so on below `most`, and `most` itself."""
    k = 1
    while k < most:
        yield k
        k *= 2
    yield most


def _measures(group: RolloutGroup) -> dict[str, float]:
    texts = [rollout.text for rollout in group.rollouts if rollout.finish_reason != "abort"]
    known, successes = len(group.known), len(group.successes)
    passes = {f"pass@{k}": float(pass_at_k(known, successes, k)) for k in powers_of_two(max(len(group), 1))}
    return {**text_diversity(texts), **passes}


def _intervals(found: Sequence[tuple[str, Mapping[str, float]]]) -> dict[str, Interval]:
    names = dict.fromkeys(name for _, values in found for name in values)
    prompts = [prompt for prompt, _ in found]
    return {
        name: mean_interval(by_prompt(prompts, [values.get(name, np.nan) for _, values in found])) for name in names
    }
