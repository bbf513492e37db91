"""What an answer of a server has to be before it counts as a rollout, and the rollout that it becomes."""

from __future__ import annotations

import numpy as np

from mopd_backends.servers.api import Sample
from mopd_core.errors import GeneratorError
from mopd_core.interfaces import Tokenizer
from mopd_core.types import Rollout, Sampling


def check_sample(sample: Sample, sampling: Sampling, vocabulary: int) -> None:
    """Raise `GeneratorError` for a sample that cannot be what was asked for."""
    ids, log_probs = sample.token_ids, sample.logprobs
    if not 1 <= len(ids) <= sampling.max_tokens:
        raise GeneratorError(f"a response has {len(ids)} tokens; allowed are 1 to {sampling.max_tokens}")
    if len(log_probs) != len(ids):
        raise GeneratorError(f"a response of {len(ids)} tokens came with {len(log_probs)} log-probabilities")
    if ids.min() < 0 or ids.max() >= vocabulary:
        foreign = int(ids[(ids < 0) | (ids >= vocabulary)][0])
        raise GeneratorError(
            f"a response has the token id {foreign}, and the student's vocabulary has {vocabulary} entries; the server "
            "samples from another model"
        )
    if not (np.isfinite(log_probs).all() and (log_probs <= 0).all()):
        raise GeneratorError("a response has log-probabilities that are not finite or above 0")


def to_rollout(sample: Sample, sampling: Sampling, version: int, tokenizer: Tokenizer) -> Rollout:
    """The rollout that a checked sample is; greedy ones were certain."""
    length = len(sample.token_ids)
    return Rollout(
        token_ids=sample.token_ids,
        logprobs=sample.logprobs if sampling.temperature else np.zeros(length, dtype=np.float32),
        text=tokenizer.decode(sample.token_ids.tolist(), skip_special_tokens=True),
        finish_reason=sample.finish_reason,
        version=version,
        own=np.ones(length, dtype=np.bool_),
    )
