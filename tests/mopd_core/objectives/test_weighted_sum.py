"""The weighted sum is the sum of both losses, each averaged over its own tokens."""

from __future__ import annotations

import torch

from mopd_core.objectives import distill, grpo, weighted_sum
from mopd_core.objectives.config import DistillConfig, GrpoConfig, WeightedSumConfig
from mopd_core.testing.objectives import REWARDS, make_batch, total_of
from mopd_core.testing.tiny import tiny_context, tiny_student


def test_is_the_sum_of_the_separate_losses():
    batch, scores = make_batch(REWARDS["mixed"])
    context = tiny_context(tiny_student())
    config = WeightedSumConfig(
        distill_weight=0.7, grpo_weight=1.3, distill=DistillConfig(importance_clip=2.0), grpo=GrpoConfig(clip=0.1)
    )
    both = weighted_sum.build(config, context).weights(batch, scores)
    of_distill = distill.build(config.distill, context).weights(batch, scores)
    of_grpo = grpo.build(config.grpo, context).weights(batch, scores)
    assert len({int(weights.mask.sum()) for weights in (both, of_distill, of_grpo)}) == 3

    logprobs, divergences = -3 * torch.rand(2, len(batch.own), generator=torch.Generator().manual_seed(0))
    expected = 0.7 * total_of(of_distill, logprobs, -divergences) + 1.3 * total_of(of_grpo, logprobs, -divergences)
    torch.testing.assert_close(total_of(both, logprobs, -divergences), expected)


def test_without_any_context_it_is_grpo():
    batch, scores = make_batch(REWARDS["mixed"])
    batch.has_context.fill_(False)
    context = tiny_context(tiny_student())
    both = weighted_sum.build(WeightedSumConfig(grpo_weight=2.0), context).weights(batch, scores)
    alone = grpo.build(GrpoConfig(), context).weights(batch, scores)
    assert not both.divergence.any()
    assert torch.equal(both.mask, alone.mask)
    torch.testing.assert_close(both.logprob, 2 * alone.logprob)
