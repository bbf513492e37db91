"""A learner's step on a GPU: the CPU's, to the precision it computes in; compiled, recomputed and cut as it may be."""

from __future__ import annotations

import pytest
import torch

from mopd_core.config.sections import TrainingConfig
from mopd_core.divergences.config import JSDConfig
from mopd_core.divergences.head import HeadLoss
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.objectives.config import DistillConfig
from mopd_core.objectives.distill import Distill
from mopd_core.output_head import Head
from mopd_core.teachers.ema import EmaTeacher
from mopd_core.testing.tiny import NumberTokenizer
from mopd_core.training import models
from mopd_core.training.learner import Learner


class Keep(torch.optim.SGD):
    """Keeps the gradients that it is given, and does nothing with them."""

    def step(self, closure=None):
        self.kept = [parameter.grad.float().cpu() for group in self.param_groups for parameter in group["params"]]


@pytest.fixture
def learn(make_student, step):
    """The step's loss and gradients on a device, in a precision."""

    def run(device, precision="fp32", **options):
        config = TrainingConfig(max_grad_norm=1e9, device=device, precision=precision, **options)
        where = models.choose_device(config)
        student = make_student().to(where)
        teacher = EmaTeacher(student, 0.05)
        if config.gradient_checkpointing:
            models.enable_checkpointing(student)
        if config.compile:
            models.compile_blocks(student)
        loss = HeadLoss(Head(student), JSD(0.5), Outcomes(JSDConfig()), 1.0, 100)
        objective, optimiser = Distill(DistillConfig(), NumberTokenizer()), Keep(student.parameters(), 0.1)
        dtype = models.choose_dtype(config, where)
        learner = Learner(student, teacher, objective, loss, optimiser, config, where, dtype)
        update = learner.learn(step, 0.1)
        assert update.outcome == "trained"
        return update.metrics, optimiser.kept

    return run


def assert_close(found, expected, tolerance):
    (metrics, gradients), (other_metrics, other_gradients) = found, expected
    assert metrics["train/loss"] == pytest.approx(other_metrics["train/loss"], rel=tolerance)
    norm = torch.stack([gradient.norm() for gradient in other_gradients]).norm()
    errors = [(one - other).norm() for one, other in zip(gradients, other_gradients, strict=True)]
    assert torch.stack(errors).norm() <= tolerance * norm


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.05)])
@pytest.mark.parametrize(
    "options",
    [{}, {"compile": True}, {"gradient_checkpointing": True}, {"micro_batch_tokens": 700}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_a_step_is_the_cpus(learn, options, precision, tolerance):
    assert_close(learn("cuda", precision, **options), learn("cpu"), tolerance)


def test_phases_are_timed(learn):
    metrics, _ = learn("cuda", "bf16")
    for phase in ("teacher", "student", "head", "backward", "optimiser"):
        assert metrics[f"time/learn_{phase}_s"] > 0
