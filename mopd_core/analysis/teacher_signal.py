"""How good a teacher's signal is under each context: means over prompts of `ranking`'s statistics, with intervals.

A group's statistic is taken over its judged rollouts that have a score. A prompt that several steps have drawn counts
once, with the mean of its groups. Differences are taken within a group, over the rollouts that both contexts score:
what a context leaves out is then left out on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mopd_core.analysis.bootstrap import Interval, mean_interval
from mopd_core.analysis.ranking import STATISTICS, auc, group_statistics
from mopd_core.analysis.rescore import GroupScores
from mopd_core.types import Prompt, RolloutGroup

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgedGroup:
    """What the verifier said of a group: rewards [G], success [G] bool, known [G] bool, response tokens [G].

    prompt: its prompt's `prompt_key`.
    """

    prompt: str
    rewards: Floats
    success: NDArray[np.bool_]
    known: NDArray[np.bool_]
    tokens: Floats

    @classmethod
    def of(cls, group: RolloutGroup) -> JudgedGroup:
        indices = range(len(group))
        return cls(
            prompt_key(group.prompt),
            np.array([verdict.reward for verdict in group.verdicts], dtype=np.float64),
            np.array([group.is_success(index) for index in indices], dtype=np.bool_),
            np.array([group.is_known(index) for index in indices], dtype=np.bool_),
            np.array([len(rollout.token_ids) for rollout in group.rollouts], dtype=np.float64),
        )

    @property
    def success_rate(self) -> float:
        """Of the judged rollouts; NaN where there is none."""
        return float(self.success[self.known].mean()) if self.known.any() else np.nan


@dataclass(frozen=True, slots=True)
class Bucket:
    """A part of the groups, chosen by their success rate: above `low` up to `high`, or as `holds` says."""

    name: str
    holds: Callable[[float], bool]


ALL, MIXED = "all", "mixed"

BUCKETS = (
    Bucket(ALL, lambda rate: True),
    Bucket(MIXED, lambda rate: 0 < rate < 1),
    Bucket("0", lambda rate: rate == 0),
    Bucket("(0, 0.25]", lambda rate: 0 < rate <= 0.25),
    Bucket("(0.25, 0.5]", lambda rate: 0.25 < rate <= 0.5),
    Bucket("(0.5, 0.75]", lambda rate: 0.5 < rate <= 0.75),
    Bucket("(0.75, 1)", lambda rate: 0.75 < rate < 1),
    Bucket("1", lambda rate: rate == 1),
)
"""All groups, those that hold a success and a failure, and groups by success rate: how hard the prompt is."""

_PARTS = tuple(field.name for field in fields(GroupScores))

DIFFICULTIES = tuple(bucket.name for bucket in BUCKETS[2:])


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One context on one bucket.

    shown: share of the judged rollouts that have a score. Means over those: context_tokens, which the context adds to
    the student's prompt, and the same by verdict; trimmed, whether some of the peers' tokens did not fit; copied,
    whether some peer has the response's very text. statistics: by name. differences: by the context that is subtracted,
    then by name.
    """

    context: str
    bucket: str
    groups: int
    shown: float
    context_tokens: float
    context_tokens_of_successes: float
    context_tokens_of_failures: float
    trimmed: float
    copied: float
    statistics: Mapping[str, Interval]
    differences: Mapping[str, Mapping[str, Interval]]


SCORE = "score"
"""The statistic that is the mean score itself, nats a token."""

UNCOPIED = "auc_uncopied"
"""The statistic that is AUC over the rollouts of which no peer is a copy: a copy tells the teacher the response."""


def signal_rows(
    judged: Sequence[JudgedGroup], scores: Mapping[str, Sequence[GroupScores]], references: Sequence[str]
) -> list[SignalRow]:
    """A row for every context and every bucket that has a group.

    scores: by context, one for every judged group. references: contexts that the others are compared with.
    """
    values = {name: _statistics(judged, of_context) for name, of_context in scores.items()}
    rows = []
    for name, of_context in scores.items():
        others = [other for other in references if other != name]
        differences = {other: _differences(judged, of_context, scores[other]) for other in others}
        for bucket in BUCKETS:
            places = [place for place, group in enumerate(judged) if bucket.holds(group.success_rate)]
            if places:
                rows.append(_row(name, bucket.name, places, judged, of_context, values[name], differences))
    return rows


def length_baseline(judged: Sequence[JudgedGroup]) -> list[GroupScores]:
    """Scores without any teacher: the shorter a response, the higher. What a context has to beat."""
    return [GroupScores(-group.tokens, *np.zeros((3, len(group.tokens)))) for group in judged]


def prompt_key(prompt: Prompt) -> str:
    """What tells a prompt from others: an id alone may be another prompt's in a run with other data."""
    return json.dumps([prompt.id, prompt.messages])


def by_prompt(prompts: Iterable[str], values: Iterable[float]) -> Floats:
    """[P]: the mean of each prompt's values that are numbers; NaN where it has none. prompts: the key of each value."""
    found: dict[str, list[float]] = {}
    for prompt, value in zip(prompts, values, strict=True):
        of_prompt = found.setdefault(prompt, [])
        if not np.isnan(value):
            of_prompt.append(value)
    return np.array([np.mean(of_prompt) if of_prompt else np.nan for of_prompt in found.values()])


def _row(
    context: str,
    bucket: str,
    places: Sequence[int],
    judged: Sequence[JudgedGroup],
    scores: Sequence[GroupScores],
    values: Sequence[Mapping[str, float]],
    differences: Mapping[str, Sequence[Mapping[str, float]]],
) -> SignalRow:
    def intervals(of_groups: Sequence[Mapping[str, float]], names: Iterable[str]) -> dict[str, Interval]:
        keys = [judged[place].prompt for place in places]
        return {name: mean_interval(by_prompt(keys, [of_groups[place][name] for place in places])) for name in names}

    known = np.concatenate([judged[place].known for place in places])
    success = np.concatenate([judged[place].success for place in places])
    of_rollouts = {name: np.concatenate([getattr(scores[place], name) for place in places]) for name in _PARTS}
    scored, tokens = known & ~np.isnan(of_rollouts["scores"]), of_rollouts["context_tokens"]
    return SignalRow(
        context,
        bucket,
        len(places),
        float(scored[known].mean()) if known.any() else np.nan,
        _mean(tokens[scored]),
        _mean(tokens[scored & success]),
        _mean(tokens[scored & ~success]),
        _mean((of_rollouts["trimmed_tokens"] > 0)[scored]),
        _mean((of_rollouts["copies"] > 0)[scored]),
        intervals(values, [*STATISTICS, UNCOPIED, SCORE]),
        {other: intervals(of_groups, STATISTICS) for other, of_groups in differences.items()},
    )


def _statistics(judged: Sequence[JudgedGroup], scores: Sequence[GroupScores]) -> list[dict[str, float]]:
    found = []
    for group, of_group in zip(judged, scores, strict=True):
        used = group.known & ~np.isnan(of_group.scores)
        uncopied = used & (of_group.copies == 0)
        others = {
            UNCOPIED: auc(of_group.scores[uncopied], group.success[uncopied]),
            SCORE: _mean(of_group.scores[used]),
        }
        found.append(_of_group(group, of_group.scores, used) | others)
    return found


def _differences(
    judged: Sequence[JudgedGroup], scores: Sequence[GroupScores], others: Sequence[GroupScores]
) -> list[dict[str, float]]:
    found = []
    for group, of_group, other in zip(judged, scores, others, strict=True):
        common = group.known & ~np.isnan(of_group.scores) & ~np.isnan(other.scores)
        one, two = _of_group(group, of_group.scores, common), _of_group(group, other.scores, common)
        found.append({name: one[name] - two[name] for name in STATISTICS})
    return found


def _of_group(group: JudgedGroup, scores: Floats, used: NDArray[np.bool_]) -> dict[str, float]:
    """What the scores of the `used` rollouts come to; where one kind of a mixed group is left, they rank nothing."""
    found = group_statistics(scores[used], group.rewards[used], group.success[used])
    if 0 < group.success_rate < 1 and len(set(group.success[used])) < 2:
        found["top1"] = np.nan
    return found


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else np.nan
