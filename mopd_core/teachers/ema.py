"""`ema`: a moving average of the student's weights (docs/method.md section 2; rate 0.05 in the paper)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mopd_core.contexts import ModelContext
from mopd_core.teachers.config import EmaConfig
from mopd_core.teachers.model_pass import ModelPass
from mopd_core.training.layout import FlatSequences


class EmaTeacher:
    """teacher <- teacher + rate * (student - teacher) after every step, in fp32."""

    def __init__(self, student: nn.Module, rate: float) -> None:
        self.model = copy.deepcopy(student).requires_grad_(False).eval()
        self.rate = rate

    def read(self, sequences: FlatSequences) -> ModelPass:
        return ModelPass(self.model, sequences)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        for mine, theirs in zip(self.model.parameters(), student.parameters(), strict=True):
            mine.lerp_(theirs, self.rate)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(state[name])


def build(config: EmaConfig, context: ModelContext) -> EmaTeacher:
    """The registered factory."""
    return EmaTeacher(context.student, config.rate)
