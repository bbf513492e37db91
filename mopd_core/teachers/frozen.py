"""`frozen`: the initial model, or another one with the same vocabulary, that never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from mopd_core.contexts import ModelContext
from mopd_core.errors import ConfigError
from mopd_core.output_head import Head
from mopd_core.teachers.config import FrozenConfig
from mopd_core.teachers.model_pass import ModelPass
from mopd_core.training.layout import FlatSequences
from mopd_core.training.shards import rest


class FrozenTeacher:
    """Loaded from where it is published, also on resume, so nothing is saved."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def read(self, sequences: FlatSequences) -> ModelPass:
        return ModelPass(self.model, sequences)

    def shard(self, shard: Callable[[nn.Module], None]) -> None:
        """Split the model over the ranks."""
        shard(self.model)

    def update(self, student: nn.Module) -> None:
        rest(self.model)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


def build(config: FrozenConfig, context: ModelContext) -> FrozenTeacher:
    """The registered factory. Raises `ConfigError` where the teacher's vocabulary is not the student's."""
    path = config.path or context.model_path
    model = context.load_model(path)
    theirs, ours = Head(model).vocabulary, Head(context.student).vocabulary
    if theirs != ours:
        raise ConfigError(
            f"teacher.path {path} has a vocabulary of {theirs}, the student of {ours}; distillation compares "
            "distributions over the same tokens. Choose a teacher of the student's model family"
        )
    return FrozenTeacher(model)
