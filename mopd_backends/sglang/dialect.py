"""SGLang's `/generate`: what is asked and how an answer is read, the same over HTTP and in process.

SGLang's log-probabilities of sampled tokens know the temperature, but neither top-p nor top-k. Where one of these
restricts sampling, the support that each token was drawn from is asked for with it, and the log-probability within.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mopd_backends.servers.api import Sample
from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.types import FinishReason, Sampling

SUPPORT_LIMIT = 4095
"""The most tokens that restricted sampling may leave. SGLang sends their ids with every token."""

SEEDS = 2**63

NOT_OURS = -1
"""The version of weights that no trainer gave a server, in its answers."""

_NO_ANSWER = (IndexError, KeyError, TypeError, ValueError, OverflowError)
"""What reading an answer of another form may raise."""


def sample_request(prompt_ids: Iterable[int], sampling: Sampling, seed: int, vocabulary: int) -> dict[str, Any]:
    """A request for one response. Raises `ConfigError` for sampling that SGLang cannot account for.

    `GeneratorError` for ids outside [0, vocabulary): one of those would kill the engine.
    """
    request: dict[str, Any] = {
        "input_ids": _checked(prompt_ids, vocabulary),
        "sampling_params": {
            "max_new_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": _top_k(sampling, vocabulary),
            "stop_token_ids": list(sampling.stop_ids),
            "ignore_eos": not sampling.stop_ids,
            "sampling_seed": seed % SEEDS,
        },
        "return_logprob": True,
    }
    return request | ({"return_sampling_mask": True} if _is_restricted(sampling) else {})


def score_request(token_ids: Iterable[int], vocabulary: int) -> dict[str, Any]:
    """A request for the log-probabilities of given tokens; nothing is sampled. Raises `GeneratorError` as above."""
    return {
        "input_ids": _checked(token_ids, vocabulary),
        "sampling_params": {"max_new_tokens": 0, "temperature": 1.0},
        "return_logprob": True,
        "logprob_start_len": 0,
    }


def prefill_request(input_ids: list[int]) -> dict[str, Any]:
    """A request that leaves a prompt in the prefix cache, for the group that is asked for next."""
    return {"input_ids": input_ids, "sampling_params": {"max_new_tokens": 0}}


def read_sample(answer: Mapping[str, Any], sampling: Sampling) -> Sample:
    """The response in an answer. Its version is `NOT_OURS` where the server was started with the weights.

    Raises `GeneratorError` for an answer that is not what was asked for.
    """
    meta = _meta(answer)
    reason = _finish_reason(meta)
    entries = _list(meta, "output_token_logprobs")
    try:
        ids = np.array([entry[1] for entry in entries], dtype=np.int32)
        log_probs = _log_probs(meta, entries, sampling)
    except _NO_ANSWER as error:
        raise GeneratorError(f"SGLang's answer has tokens of another form ({error!r})") from None
    _check_end(ids, reason, sampling)
    version = read_version(meta)
    return Sample(ids, log_probs, reason, NOT_OURS if version is None else version)


def read_scores(answer: Mapping[str, Any], token_ids: Iterable[int], vocabulary: int) -> NDArray[np.float32]:
    """log p of every token but the first [T - 1], nats, in an answer to `score_request`.

    SGLang 0.5.21 calls the last token of a vocabulary 0 there, beside the log-probability of the last.
    """
    entries = _list(_meta(answer), "input_token_logprobs")
    asked = [int(token) for token in token_ids]
    renamed = [0 if token == vocabulary - 1 else token for token in asked]
    try:
        scored = [entry[1] for entry in entries]
        scores = np.array([entry[0] for entry in entries[1:]], dtype=np.float32)
    except _NO_ANSWER as error:
        raise GeneratorError(f"SGLang's answer has tokens of another form ({error!r})") from None
    if scored not in (asked, renamed):
        raise GeneratorError(f"SGLang was to score {len(asked)} tokens, and scored {len(entries)} others")
    return scores


def read_version(meta: Mapping[str, Any]) -> int | None:
    """The version of the weights; None for those that an engine was started with, if it gave them no number."""
    version = str(meta.get("weight_version"))
    return int(version) if version.isdecimal() else None


def _is_restricted(sampling: Sampling) -> bool:
    return sampling.temperature > 0 and (sampling.top_p < 1 or sampling.top_k > 0)


def _top_k(sampling: Sampling, vocabulary: int) -> int:
    if not _is_restricted(sampling):
        return -1
    if sampling.top_k and sampling.top_p < 1:
        raise ConfigError(
            f"top_k {sampling.top_k} and top_p {sampling.top_p} together: SGLang takes top_p of the whole distribution "
            "and not of the top_k, so that its rollouts would have other probabilities than the trainer gives them. "
            "Give one of the two, or use another generator"
        )
    if sampling.top_k > SUPPORT_LIMIT:
        raise ConfigError(
            f"top_k is {sampling.top_k}; with generator 'sglang' at most {SUPPORT_LIMIT}. Use 0 for no restriction"
        )
    return min(sampling.top_k or SUPPORT_LIMIT, vocabulary)


def _checked(token_ids: Iterable[int], vocabulary: int) -> list[int]:
    ids = [int(token) for token in token_ids]
    if not ids or min(ids) < 0 or max(ids) >= vocabulary:
        given = f"ids from {min(ids)} to {max(ids)}" if ids else "no ids"
        raise GeneratorError(f"SGLang was to read {given}; allowed are ids from 0 to {vocabulary - 1}, at least one")
    return ids


def _meta(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = answer.get("meta_info") if isinstance(answer, Mapping) else None
    if not isinstance(meta, Mapping):
        raise GeneratorError(f"SGLang's answer has no meta_info: {str(answer)[:200]!r}")
    return meta


def _list(meta: Mapping[str, Any], field: str) -> list[Any]:
    values = meta.get(field)
    if not isinstance(values, list):
        raise GeneratorError(f"SGLang's answer has no {field}; it has {', '.join(sorted(meta))}")
    return values


def _finish_reason(meta: Mapping[str, Any]) -> FinishReason:
    reason = meta.get("finish_reason")
    reasons: tuple[FinishReason, ...] = get_args(FinishReason)
    for known in reasons:
        if isinstance(reason, Mapping) and reason.get("type") == known:
            return known
    raise GeneratorError(f"SGLang's finish reason is {reason!r}; known are {', '.join(get_args(FinishReason))}")


def _check_end(ids: NDArray[np.int32], reason: FinishReason, sampling: Sampling) -> None:
    if reason == "stop" and (not len(ids) or ids[-1] not in sampling.stop_ids):
        raise GeneratorError(
            f"SGLang stopped at token {ids[-1:].tolist()}, which is none of our stop tokens {list(sampling.stop_ids)}; "
            "the server's model folder names other end tokens than the student's"
        )
    if reason == "length" and len(ids) != sampling.max_tokens:
        raise GeneratorError(
            f"SGLang cut a response after {len(ids)} of {sampling.max_tokens} tokens: its context is too short. Start "
            "the server with a larger --context-length"
        )


def _log_probs(meta: Mapping[str, Any], entries: Sequence[Any], sampling: Sampling) -> NDArray[np.float32]:
    """[T], nats; rounding may put a certain token's a hair above 0, and it is taken back."""
    restricted = _is_restricted(sampling)
    values = _list(meta, "output_token_sampling_logprobs") if restricted else [entry[0] for entry in entries]
    return np.minimum(np.array(values, dtype=np.float32), np.float32(0))
