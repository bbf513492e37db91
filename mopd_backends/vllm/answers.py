"""Reading what a vLLM server answers. Whether the numbers in it can be what was asked for is judged where all engines'
answers are (`servers.samples`).

Every function raises `GeneratorError` for what is no answer to what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import httpx
import numpy as np
from numpy.typing import NDArray

from mopd_backends.servers.api import Sample
from mopd_core.errors import GeneratorError
from mopd_core.types import FinishReason

NOT_OURS = -1
"""The version of weights that no trainer gave a server: those that it was started with, or half of a set."""


def read_object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer. Raises `httpx.HTTPStatusError` where its status is one of failure."""
    answer.raise_for_status()
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise GeneratorError(f"{answer.url.path} was answered with no JSON object: {answer.text[:200]!r}")
    return content


def read_sample(answer: dict[str, Any]) -> Sample:
    """The one response in an answer of `/inference/v1/generate`."""
    try:
        (choice,) = answer["choices"]
        ids, reason, spans = choice["token_ids"], choice["finish_reason"], choice["weight_versions"]
        pairs = [(entry["token_id"], entry["logprob"]) for entry in choice["logprobs"]["content"]]
        logprobs = np.array([logprob for _, logprob in pairs], dtype=np.float32)
        token_ids = np.array(ids, dtype=np.int32)
        version = read_version(spans[0]["version"]) if spans else NOT_OURS
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise GeneratorError(f"a response misses something or is of another form ({error!r})") from None
    if ids != [token for token, _ in pairs]:
        raise GeneratorError(f"a response of {len(ids)} tokens came with log-probabilities of other ones")
    if reason not in get_args(FinishReason):
        raise GeneratorError(f"a response ended with {reason!r}; known are {', '.join(get_args(FinishReason))}")
    return Sample(token_ids, logprobs, reason, version)


def read_score(answer: dict[str, Any], token_ids: Sequence[int]) -> NDArray[np.float32]:
    """log p [T - 1] of the prompt's own tokens in an answer of `/inference/v1/generate`, nats."""
    try:
        entries = list(zip(answer["prompt_logprobs"], token_ids, strict=True))[1:]
        return np.array([entry[str(token)]["logprob"] for entry, token in entries], dtype=np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise GeneratorError(f"an answer does not score every token of the sequence ({error!r})") from None


def read_version(text: object) -> int:
    """A version of weights; `NOT_OURS` for one that no trainer has set."""
    return int(text) if isinstance(text, str) and text.isdecimal() else NOT_OURS
