"""Who computes what: shares part a step, in order and evenly; joint turns are equally many, with the same parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mopd_core.training.batch import build_step
from mopd_core.training.ranks import ALONE, Ranks
from mopd_core.training.turns import joint_turns, own_share, own_turns
from mopd_core.types import Prompt, RolloutGroup, Verdict


class Told(Ranks):
    """A rank that is told what the others would have sent."""

    def gather(self, value):
        assert value == self.plans[self.number]
        return self.plans

    plans = ()


def shares(batch, mask, count):
    return torch.stack([own_share(batch, mask, Ranks(number, count)) for number in range(count)])


@given(count=st.integers(2, 6), kept=st.lists(st.booleans(), min_size=10, max_size=10))
def test_every_token_is_one_ranks(make_step, count, kept):
    batch = make_step()[2]
    mask = batch.tokens.own.clone()
    for target, keep in zip(batch.targets, kept, strict=True):
        mask[target.span] &= keep
    found = shares(batch, mask, count)
    assert (found[:, mask].sum(0) == 1).all()
    owners = found[:, mask].int().argmax(0)
    assert (owners.diff() >= 0).all(), "a rank's targets are neighbours"
    assert all((found[:, target.span] == found[:, target.span][:, :1]).all() for target in batch.targets)


def test_equal_targets_are_dealt_out_evenly_and_groups_stay_whole(draw_ids, make_rollout):
    """4 groups of 3 rollouts over 2 ranks: 2 groups each; over 3 ranks 4 rollouts each."""
    groups = [
        RolloutGroup(
            Prompt(str(number), (), token_ids=draw_ids(1, number)),
            tuple(make_rollout(draw_ids(8, 10 * number + index)) for index in range(3)),
            (Verdict(1.0, "passed"),) * 3,
        )
        for number in range(4)
    ]
    batch = build_step(groups, [[None] * 3 for _ in groups])
    mask = torch.ones(96, dtype=torch.bool)
    assert shares(batch, mask, 2).tolist() == [[True] * 48 + [False] * 48, [False] * 48 + [True] * 48]
    assert shares(batch, mask, 3).sum(1).tolist() == [32, 32, 32]


def test_one_process_has_everything(make_step):
    batch = make_step()[2]
    assert own_share(batch, batch.tokens.own, ALONE).all()


@pytest.mark.parametrize("budget", [1, 60, 10_000])
@pytest.mark.parametrize("count", [2, 4, 12])
def test_joint_turns_are_equally_many_with_the_same_parts(make_step, count, budget):
    """12 ranks are more than there are targets. Every third target or so has no context."""
    batch = make_step()[2]
    mask = batch.tokens.own
    distilled = batch.tokens.has_context[batch.tokens.rollout]
    own = [list(own_turns(batch, mask, distilled, budget, Ranks(number, count))) for number in range(count)]
    Told.plans = [[turn.micro.teacher is not None for turn in turns] for turns in own]
    joint = [list(joint_turns(batch, mask, distilled, budget, Told(number, count))) for number in range(count)]
    parts = [[turn.micro.teacher is not None for turn in turns] for turns in joint]
    assert len(set(map(tuple, parts))) == 1
    assert len(joint[0]) == max(map(len, own))
    for turns, those in zip(joint, own, strict=True):
        assert [turn.counts for turn in turns] == [True] * len(those) + [False] * (len(turns) - len(those))
        assert all(torch.equal(a.micro.tokens, b.micro.tokens) for a, b in zip(turns, those, strict=False))
        assert all(a.micro.n_distilled == b.micro.n_distilled for a, b in zip(turns, those, strict=False))
    evaluated = torch.cat([turn.micro.tokens for turns in joint for turn in turns if turn.counts])
    assert evaluated.sort().values.tolist() == mask.nonzero()[:, 0].tolist()
