"""AdamW and its learning rate, a pure function of the step so that nothing about it has to be saved."""

from __future__ import annotations

import math

import torch
from torch import nn

from mopd_core.config.sections import TrainingConfig


def build_optimiser(student: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over the trained parameters; weight decay on matrices alone."""
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr, betas=config.betas)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of step `step` (from 1): a linear warm-up, then the schedule."""
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps + 1, 1)
    if config.schedule == "linear":
        return config.lr * (1 - done)
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * done)) / 2
    return config.lr


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Use this learning rate from now on."""
    for group in optimiser.param_groups:
        group["lr"] = lr
