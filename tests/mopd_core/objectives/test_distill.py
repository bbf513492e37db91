"""The method's weights: which tokens count, importance weights, reasoning steps, and the sampled estimator."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mopd_core.objectives.config import DistillConfig
from mopd_core.objectives.distill import Distill, step_numbers
from mopd_core.objectives.weights import TokenBatch, TokenScores
from mopd_core.testing.tiny import NumberTokenizer


class Letters(NumberTokenizer):
    """Tokens 0, 1, 2 … are the texts given."""

    def __init__(self, *texts):
        self.texts = texts

    def decode(self, token_ids, skip_special_tokens=False):
        return "".join(self.texts[token] for token in token_ids)


def step_of(rollouts, has_context=None):
    """A step of these rollouts, with all tokens the model's own and every log-probability -1."""
    lengths = torch.tensor([len(rollout) for rollout in rollouts])
    n, r = int(lengths.sum()), len(rollouts)
    batch = TokenBatch(
        tokens=torch.tensor([token for rollout in rollouts for token in rollout]),
        rollout=torch.arange(r).repeat_interleave(lengths),
        own=torch.ones(n, dtype=torch.bool),
        behaviour_logprobs=torch.full((n,), -1.0),
        group=torch.zeros(r, dtype=torch.int64),
        reward=torch.zeros(r),
        known=torch.ones(r, dtype=torch.bool),
        has_context=torch.tensor(has_context or [True] * r),
    )
    return batch, TokenScores(torch.full((n,), -1.0), torch.full((n,), -1.0))


def test_every_own_token_of_a_target_with_a_context_weighs_one():
    batch, _ = step_of([[1, 2], [3], [4, 5, 6]], has_context=[True, False, True])
    batch = replace(batch, own=torch.tensor([True, True, True, True, False, True]))
    weights = Distill(DistillConfig(), NumberTokenizer()).weights(batch, None)
    assert weights.mask.tolist() == [True, True, False, True, False, True]
    assert weights.divergence.tolist() == [1, 1, 0, 1, 0, 1]
    assert not weights.logprob.any()


def test_importance_weights_are_clipped_above():
    batch, scores = step_of([[1, 2, 3]])
    scores = replace(scores, student_logprobs=batch.behaviour_logprobs + torch.tensor([0.5, 5.0, 1.0]).log())
    weights = Distill(DistillConfig(importance_clip=2.0), NumberTokenizer()).weights(batch, scores)
    torch.testing.assert_close(weights.divergence, torch.tensor([0.5, 2.0, 1.0]))


def test_the_sampled_estimator_weighs_by_the_log_ratio():
    batch, scores = step_of([[1, 2]])
    scores = TokenScores(torch.tensor([-1.0, -0.5]), torch.tensor([-0.25, -2.5]))
    plain = Distill(DistillConfig(estimator="sampled"), NumberTokenizer()).weights(batch, scores)
    torch.testing.assert_close(plain.logprob, torch.tensor([-0.75, 2.0]))
    assert not plain.divergence.any()
    weighted = Distill(DistillConfig(estimator="sampled", importance_clip=1.5), NumberTokenizer())
    expected = torch.tensor([1.0 * -0.75, 1.5 * 2.0])
    torch.testing.assert_close(weighted.weights(batch, scores).logprob, expected)


def test_steps_without_importance_weights_change_nothing():
    batch, _ = step_of([[0, 1, 0, 0], [0, 0, 1, 1]])
    tokenizer = Letters("a", "\n\n")
    with_steps = Distill(DistillConfig(step_separator="\n\n"), tokenizer).weights(batch, None)
    without = Distill(DistillConfig(), tokenizer).weights(batch, None)
    assert torch.equal(with_steps.divergence, without.divergence)


def test_steps_average_the_importance_weights():
    """`a ⏎⏎ a a`: the separator ends the first step. Its weights 0.5, 1 average to 0.75, the others 2, 1 to 1.5.

    Weighing each token's D by its step's mean weight is weighing the step's mean D by each token's weight.
    """
    batch, scores = step_of([[0, 1, 0, 0]])
    ratio = torch.tensor([0.5, 1.0, 2.0, 1.0])
    scores = replace(scores, student_logprobs=batch.behaviour_logprobs + ratio.log())
    config = DistillConfig(importance_clip=2.0, step_separator="\n\n")
    weights = Distill(config, Letters("a", "\n\n")).weights(batch, scores)
    torch.testing.assert_close(weights.divergence, torch.tensor([0.75, 0.75, 1.5, 1.5]))
    divergence = torch.tensor([0.3, 0.1, 0.7, 0.2])
    of_steps = torch.tensor([0.2, 0.2, 0.45, 0.45])
    torch.testing.assert_close((weights.divergence * divergence).sum(), (ratio * of_steps).sum())


def test_steps_average_the_sampled_signal_and_not_its_weights():
    """`a ⏎⏎ a a`: log p - log q of 1, 3 | 2, 4 averages to 2 | 3, and each token keeps its own weight 0.5, 1, 2, 1."""
    batch, scores = step_of([[0, 1, 0, 0]])
    now = batch.behaviour_logprobs + torch.tensor([0.5, 1.0, 2.0, 1.0]).log()
    scores = replace(scores, student_logprobs=now, teacher_logprobs=now - torch.tensor([1.0, 3.0, 2.0, 4.0]))
    config = DistillConfig(estimator="sampled", importance_clip=2.0, step_separator="\n\n")
    weights = Distill(config, Letters("a", "\n\n")).weights(batch, scores)
    torch.testing.assert_close(weights.logprob, torch.tensor([1.0, 2.0, 6.0, 3.0]))


def test_a_masked_token_is_no_part_of_its_steps_average():
    batch, scores = step_of([[0, 0, 0]])
    batch = replace(batch, own=torch.tensor([True, False, True]))
    log_ratio = torch.tensor([0.5, math.nan, 1.0]).log()
    scores = replace(scores, student_logprobs=batch.behaviour_logprobs + log_ratio)
    config = DistillConfig(importance_clip=2.0, step_separator="\n\n")
    weights = Distill(config, Letters("a", "\n\n")).weights(batch, scores)
    torch.testing.assert_close(weights.divergence, torch.tensor([0.75, 0.0, 0.75]))


@pytest.mark.parametrize(
    ("texts", "rollouts", "expected"),
    [
        (("a", "\n\n"), [[0, 1, 0], [0, 0]], [0, 0, 1, 2, 2]),
        (("a", "\n"), [[0, 1, 1, 0, 1, 0]], [0, 0, 0, 1, 1, 1]),
        (("a\n", "\nb"), [[0, 1, 1]], [0, 0, 1]),
        (("a\n\n\n\nb", "c"), [[0, 1]], [0, 1]),
        (("\n", "a"), [[0, 0, 0, 0, 1]], [0, 0, 1, 1, 2]),
        (("\n", "a"), [[1, 0], [0, 1]], [0, 0, 1, 1]),
    ],
    ids=["own token", "two tokens", "within tokens", "several in one", "in a row", "not across rollouts"],
)
def test_a_separator_belongs_to_the_step_that_it_ends(texts, rollouts, expected):
    tokens = [token for rollout in rollouts for token in rollout]
    numbers = [number for number, rollout in enumerate(rollouts) for _ in rollout]
    assert step_numbers(tokens, numbers, Letters(*texts), "\n\n") == expected
