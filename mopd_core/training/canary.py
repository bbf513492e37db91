"""The canary: after every sync, does the generator compute with the weights that the trainer has?

Both sides score a fixed probe, and their log-probabilities are compared. Engines keep copies of weights, repack them,
and report success whatever came of it; only their numbers tell. A new rule that tells stale weights goes into `_judge`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mopd_core.errors import GeneratorError
from mopd_core.output_head import Head
from mopd_core.training.layout import Ids, lay_out
from mopd_core.training.models import autocast, flat_hidden
from mopd_core.training.shards import rest
from mopd_core.types import Prompt

PROBES, PROBE_TOKENS = 2, 32

TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Mean difference of two log-probabilities, in nats, that two implementations of a model may show in a dtype."""

NOISE_FACTOR = 4.0
"""How many times the difference that equal weights showed at first a later one may be."""

MISSING_SHARE = 0.1
"""What part of a change may be missing: differences grow a little when weights change much."""

CAUSES = (
    "Likely causes: the update was not loaded, or only in part (an output head that is tied to the embeddings and kept "
    "as a copy of its own, an adapter that was never merged); the server has another model or another precision; its "
    "kernels compute something else. Look at the generator's log, and at `mopd doctor`"
)


def probe_of(prompts: Sequence[Prompt]) -> list[Ids]:
    """The beginnings of a few prompts, [T] int32 each."""
    return [prompt.token_ids[:PROBE_TOKENS] for prompt in prompts[:PROBES] if len(prompt.token_ids) > 1]


@torch.no_grad()
def score(
    model: nn.Module, sequences: Sequence[Ids], device: torch.device, dtype: torch.dtype
) -> list[NDArray[np.float32]]:
    """log p of every token but the first, [T - 1] each, nats, at temperature 1. Collective where the model is split."""
    layout = lay_out(sequences).to(device)
    with autocast(device, dtype):
        log_p = Head(model)(flat_hidden(model, layout)).float().log_softmax(-1)
    found = []
    for ids, rows in zip(sequences, layout.rows, strict=True):
        targets = torch.from_numpy(ids[1:].astype(np.int64)).to(device)
        found.append(log_p[rows[:-1]].gather(-1, targets[:, None])[:, 0].cpu().numpy())
    rest(model)
    return found


class Canary:
    """Holds a generator's scores of the probe against the trainer's, from one sync to the next.

    tolerance: largest mean difference, nats; None is that of `dtype`.
    """

    def __init__(
        self, name: str, probe: Sequence[Ids], device: torch.device, dtype: torch.dtype, tolerance: float | None = None
    ) -> None:
        self._name = name
        self.probe = probe
        self._device, self._dtype = device, dtype
        self._tolerance = TOLERANCES[dtype] if tolerance is None else tolerance
        self._noise: float | None = None
        self._trainer: NDArray[np.float32] | None = None

    def trainer_scores(self, student: nn.Module) -> NDArray[np.float32]:
        """The probe's log-probabilities, one after the other. Collective where the model is split."""
        return np.concatenate(score(student, self.probe, self._device, self._dtype))

    def check(
        self, trainer: NDArray[np.float32], generator: Sequence[NDArray[np.float32]], version: int
    ) -> dict[str, float]:
        """Metrics of the comparison. Raises `GeneratorError` where the generator has not the weights of `version`.

        The first check is of weights that both sides loaded from one place: what they differ by there is noise.
        """
        return self.check_each(trainer, [generator], version)

    def check_each(
        self, trainer: NDArray[np.float32], places: Sequence[Sequence[NDArray[np.float32]]], version: int
    ) -> dict[str, float]:
        """The same of several copies of the weights, each judged by itself; the metrics are the worst one's."""
        differences = [self._difference(trainer, scores) for scores in places]
        means = [float(difference.mean()) for difference in differences]
        for mean in means:
            self._judge(mean, trainer, version)
        if self._noise is None:
            self._noise = max(means)
        self._trainer = trainer
        return {"canary/mean": max(means), "canary/max": max(float(difference.max()) for difference in differences)}

    def _difference(
        self, trainer: NDArray[np.float32], generator: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        given, wanted = [len(each) for each in generator], [len(ids) - 1 for ids in self.probe]
        if given != wanted:
            raise GeneratorError(f"generator {self._name!r} scored {given} tokens of the probe; there are {wanted}")
        difference: NDArray[np.float32] = np.abs(np.concatenate(generator) - trainer)
        return difference

    def _judge(self, mean: float, trainer: NDArray[np.float32], version: int) -> None:
        if not mean <= self._tolerance:
            raise GeneratorError(
                f"the canary: after the sync of version {version}, log-probabilities of generator {self._name!r} are "
                f"off by {mean:.3g} nats on average; allowed: {self._tolerance:g}. {CAUSES}"
            )
        if self._noise is None or self._trainer is None:
            return
        change, noise = float(np.abs(trainer - self._trainer).mean()), NOISE_FACTOR * self._noise
        if mean > max(noise, MISSING_SHARE * change):
            raise GeneratorError(
                f"the canary: the sync of version {version} changed the trainer's log-probabilities by {change:.3g} "
                f"nats on average, and generator {self._name!r} is now off by {mean:.3g}; usual is {self._noise:.3g}. "
                f"{CAUSES}"
            )
