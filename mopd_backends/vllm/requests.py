"""What a rollout and a scored sequence are in vLLM's terms, for the engine in this process and for servers alike."""

from __future__ import annotations

from typing import Any

from mopd_core.errors import GeneratorError
from mopd_core.types import Sampling

MAX_TEMPERATURE = 2.0

CPU_BATCH_TOKENS = 4096
"""Tokens that an engine on a CPU computes in a step, or the longest sequence if that is longer. It reads prompts whole:
for one in parts vLLM rewinds the request's seed, which fails on a CPU and ends the engine."""

SCORE: dict[str, Any] = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
"""vLLM's sampling parameters that score a prompt: its own tokens' log-probabilities, and one token more than needed."""


def sampling_params(sampling: Sampling, seed: int) -> dict[str, Any]:
    """vLLM's sampling parameters for one rollout. Only `stop_ids` end it, whatever the model's own stop tokens are.

    Raises `GeneratorError` for a temperature that vLLM does not take.
    """
    if sampling.temperature > MAX_TEMPERATURE:
        raise GeneratorError(
            f"sampling.temperature is {sampling.temperature:g}, and vLLM takes at most {MAX_TEMPERATURE:g}; lower it"
        )
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": seed,
        "stop_token_ids": list(sampling.stop_ids),
        "ignore_eos": True,
        "logprobs": 0,
        "detokenize": False,
    }
