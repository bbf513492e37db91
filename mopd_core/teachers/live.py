"""`live`: the student itself, as it is when the step is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from mopd_core.contexts import ModelContext
from mopd_core.teachers.config import LiveConfig
from mopd_core.teachers.model_pass import ModelPass
from mopd_core.training.layout import FlatSequences


class LiveTeacher:
    """Shares the student's weights; there is nothing to update or to save."""

    def __init__(self, student: nn.Module) -> None:
        self.student = student

    def read(self, sequences: FlatSequences) -> ModelPass:
        return ModelPass(self.student, sequences)

    def shard(self, shard: Callable[[nn.Module], None]) -> None:
        """Nothing to do: the student is split already."""

    def update(self, student: nn.Module) -> None: ...

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


def build(config: LiveConfig, context: ModelContext) -> LiveTeacher:
    """The registered factory."""
    return LiveTeacher(context.student)
