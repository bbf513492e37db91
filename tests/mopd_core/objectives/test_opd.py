"""Plain on-policy distillation is `distill` over every rollout, without peers and with a teacher of its own."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch

from mopd_core.config.load import load_config
from mopd_core.config.reference import built_in
from mopd_core.errors import ConfigError
from mopd_core.objectives.config import DistillConfig
from mopd_core.objectives.distill import Distill
from mopd_core.peers.none import NoneSelector
from mopd_core.testing.objectives import REWARDS, make_batch
from mopd_core.testing.selectors import make_group
from mopd_core.testing.tiny import NumberTokenizer, tiny_context, tiny_student


def test_every_own_token_counts_once_whatever_the_verdict():
    batch, _ = make_batch(REWARDS["mixed"])
    batch = replace(batch, has_context=torch.ones_like(batch.has_context))
    weights = Distill(DistillConfig(), NumberTokenizer()).weights(batch, None)
    assert torch.equal(weights.mask, batch.own)
    assert torch.equal(weights.divergence, batch.own.float())
    assert not bool(batch.known.all())


def test_the_selector_none_makes_every_rollout_a_target():
    (selections,) = NoneSelector().select([make_group("p", "SFU")], Random(0))
    assert [(each.target, each.peers, each.needs_context) for each in selections] == [
        (0, (), False),
        (1, (), False),
        (2, (), False),
    ]


def test_it_weighs_every_token_as_distill_does():
    plugins = built_in()
    batch, scores = make_batch(REWARDS["mixed"])
    context = tiny_context(tiny_student())
    choices = {"selector": "none", "teacher": "frozen"}
    weights = []
    for name in ("opd", "distill"):
        config = load_config(None, plugins, choices={"objective": name, **choices}).objective
        weights.append(plugins["objectives"].build(config, context).weights(batch, scores))
    ours, theirs = weights
    assert torch.equal(ours.divergence, theirs.divergence)
    assert torch.equal(ours.logprob, theirs.logprob)
    assert torch.equal(ours.mask, theirs.mask)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["teacher=frozen"], "selector 'contrastive' would show it more.*--selector none"),
        (["selector=none", "teacher=frozen", "context.feedback=true"], "context.feedback would show it more"),
        (["selector=none"], "'ema' is made from the student; choose --teacher frozen"),
        (["selector=none", "teacher=live"], "'live' is made from the student"),
    ],
)
def test_its_teacher_reads_the_students_prompt_and_is_not_made_from_the_student(options, says):
    with pytest.raises(ConfigError, match=says):
        load_config(None, built_in(), choices={"objective": "opd"}, options=options)
