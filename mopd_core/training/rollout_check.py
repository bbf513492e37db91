"""What the core requires of every generator's rollouts, before they are judged or trained on."""

from __future__ import annotations

import numpy as np

from mopd_core.errors import GeneratorError
from mopd_core.types import Rollout


def check_rollout(generator_name: str, prompt_id: str, rollout: object, vocabulary: int) -> None:
    """Raise `GeneratorError` naming the generator for a rollout that cannot be used.

    vocabulary: how many tokens the student knows.
    """
    if fault := _fault(rollout, vocabulary):
        raise GeneratorError(f"generator {generator_name!r} returned {fault} for prompt {prompt_id!r}")


def _fault(rollout: object, vocabulary: int) -> str | None:
    if not isinstance(rollout, Rollout):
        return f"a {type(rollout).__name__} in place of a Rollout"
    ids, logprobs, own = rollout.token_ids, rollout.logprobs, rollout.own
    text: object = rollout.text
    if not isinstance(text, str):
        return f"a text that is a {type(text).__name__}"
    if not isinstance(ids, np.ndarray) or not np.issubdtype(ids.dtype, np.integer):
        return "token_ids that are no array of whole numbers"
    outside = ids[(ids < 0) | (ids >= vocabulary)]
    if len(outside):
        return f"the token id {outside[0]}, which the student does not have (its ids are 0 to {vocabulary - 1}),"
    if not isinstance(logprobs, np.ndarray) or logprobs.shape != ids.shape or logprobs.dtype.kind != "f":
        return "logprobs that are no array of numbers, one a token,"
    if not isinstance(own, np.ndarray) or own.shape != ids.shape or own.dtype != np.bool_:
        return "own flags that are no array of truth values, one a token,"
    if not np.isfinite(logprobs[own]).all():
        return "logprobs that are not finite; every token that the model drew has one"
    return None
