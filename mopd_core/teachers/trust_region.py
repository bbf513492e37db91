"""`trust-region`: logits of the initial and of the present student, mixed (docs/method.md section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from mopd_core.contexts import ModelContext
from mopd_core.teachers.config import TrustRegionConfig
from mopd_core.teachers.model_pass import ModelPass
from mopd_core.training.layout import FlatSequences
from mopd_core.training.shards import rest


class MixedPass:
    """weight * current + (1 - weight) * initial, on logits."""

    def __init__(self, initial: ModelPass, current: ModelPass, weight: float) -> None:
        self.initial, self.current, self.weight = initial, current, weight

    def logits(self, rows: Tensor) -> Tensor:
        return self.initial.logits(rows).lerp(self.current.logits(rows), self.weight)


class TrustRegionTeacher:
    """The initial model is loaded from where it is published, also on resume, so nothing is saved."""

    def __init__(self, initial: nn.Module, student: nn.Module, current_weight: float) -> None:
        self.initial, self.student, self.current_weight = initial, student, current_weight

    def read(self, sequences: FlatSequences) -> MixedPass:
        return MixedPass(ModelPass(self.initial, sequences), ModelPass(self.student, sequences), self.current_weight)

    def shard(self, shard: Callable[[nn.Module], None]) -> None:
        """Split the initial model over the ranks."""
        shard(self.initial)

    def update(self, student: nn.Module) -> None:
        rest(self.initial)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


def build(config: TrustRegionConfig, context: ModelContext) -> TrustRegionTeacher:
    """The registered factory."""
    return TrustRegionTeacher(context.load_model(context.model_path), context.student, config.current_weight)
