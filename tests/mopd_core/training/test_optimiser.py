"""The learning rate at steps worked out by hand, and what is decayed."""

from __future__ import annotations

import pytest
import torch

from mopd_core.config.sections import TrainingConfig
from mopd_core.testing.tiny import tiny_student
from mopd_core.training.optimiser import build_optimiser, learning_rate, set_lr

SCHEDULES = {
    "constant": [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0],
    "linear": [0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2],
    "cosine": [0.25, 0.5, 0.75, 1.0, 0.9045085, 0.6545085, 0.3454915, 0.0954915],
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_learning_rate_by_hand(schedule):
    """4 steps of warm-up, then 5 intervals from the peak at step 4 to 0 at step 9, the one after the last."""
    config = TrainingConfig(steps=8, warmup_steps=4, lr=2.0, schedule=schedule)
    found = [learning_rate(config, step) for step in range(1, 9)]
    assert found == pytest.approx([2.0 * share for share in SCHEDULES[schedule]])


def test_without_a_warm_up_the_first_step_has_nearly_the_peak():
    assert learning_rate(TrainingConfig(steps=4, warmup_steps=0, lr=1.0), 1) == 1.0
    assert learning_rate(TrainingConfig(steps=4, warmup_steps=0, lr=1.0, schedule="linear"), 1) == pytest.approx(0.8)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_shorter_than_its_warm_up_only_rises(schedule):
    config = TrainingConfig(steps=3, warmup_steps=10, lr=1.0, schedule=schedule)
    assert [learning_rate(config, step) for step in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.3])


def test_matrices_decay_and_vectors_do_not():
    student = tiny_student()
    optimiser = build_optimiser(student, TrainingConfig(lr=0.5, weight_decay=0.1, betas=(0.8, 0.95)))
    matrices, vectors = optimiser.param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in matrices["params"]} == {id(p) for p in student.parameters() if p.ndim == 2}
    assert {id(p) for p in vectors["params"]} == {id(p) for p in student.parameters() if p.ndim == 1}
    assert all((group["lr"], group["betas"]) == (0.5, (0.8, 0.95)) for group in optimiser.param_groups)


def test_what_is_frozen_is_left_out():
    student = tiny_student()
    student.requires_grad_(False)
    student.get_input_embeddings().requires_grad_(True)
    (group,) = build_optimiser(student, TrainingConfig()).param_groups
    assert [id(p) for p in group["params"]] == [id(student.get_input_embeddings().weight)]


def test_the_rate_that_is_set_is_used():
    """AdamW's first step moves every weight by its learning rate, whatever the gradient; decay is off."""
    weight = torch.nn.Linear(3, 3, bias=False)
    optimiser = build_optimiser(weight, TrainingConfig(lr=1.0, weight_decay=0.0))
    before = weight.weight.detach().clone()
    set_lr(optimiser, 0.125)
    weight(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    torch.testing.assert_close(before - weight.weight.detach(), torch.full((3, 3), 0.125))
