"""Generator `vllm`: in this process every rollout is one request with a seed of its own, all submitted at once.

A group's prompt is read once, through vLLM's prefix cache, as far as it fills whole blocks of it. Greedy rollouts
(temperature 0) carry log-probability 0: each token was certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mopd_backends.collect import in_order
from mopd_backends.servers.api import Sample
from mopd_backends.servers.generator import build_served
from mopd_backends.servers.samples import to_rollout
from mopd_backends.vllm.config import VllmConfig
from mopd_backends.vllm.engine import Engine
from mopd_backends.vllm.requests import SCORE, sampling_params
from mopd_core.contexts import ModelContext
from mopd_core.errors import GeneratorError
from mopd_core.interfaces import Generator, Tokenizer, WeightSource
from mopd_core.output_head import Head
from mopd_core.training.models import StudentWeights
from mopd_core.types import Prompt, Rollout, Sampling


def build(config: VllmConfig, context: ModelContext) -> Generator:
    """A generator over servers where the config names some or wants one started, else with an engine in this process.

    Raises `ConfigError` where the engine has to be here and is missing, or of a version that was not tested.
    """
    if config.urls or config.managed:
        dtype = str(context.compute_dtype).removeprefix("torch.")
        api = config.server_api(Head(context.student).vocabulary, context.device.type, dtype)
        return build_served(api, config, context)
    generator = VllmGenerator(Engine(config, context), context.tokenizer, context.longest_rollout)
    generator.sync_weights(StudentWeights(context.student), 0)
    return generator


class VllmGenerator:
    """Samples with an engine in this process. max_length: of prompt and response, in tokens."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, max_length: int) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._version = 0

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> list[list[Rollout]]:
        """Sample len(seeds[p]) rollouts of each prompt p: P lists, in order. Raises what `stream` raises."""
        return in_order(self.stream(prompts, sampling, seeds=seeds), seeds)

    def stream(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, int, Rollout]]:
        """Yield (p, i, rollout) when rollout i of prompt p ends.

        Raises `GeneratorError` before anything is sampled for a prompt that is not rendered, or too long with
        `max_tokens` after it, and for a temperature that vLLM does not take.
        """
        for prompt in prompts:
            self._check_length(prompt, sampling)
        requests = {
            (p, i): (prompt.token_ids, sampling_params(sampling, seed))
            for p, (prompt, group) in enumerate(zip(prompts, seeds, strict=True))
            for i, seed in enumerate(group)
        }
        version = self._version
        try:
            for (p, i), output in self._engine.run(requests):
                yield p, i, self._rollout(output.outputs[0], sampling, version)
        finally:
            self._engine.sleep()

    def score(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """log p of every token but the first [T - 1], given those before it, at temperature 1, unrestricted, nats.

        Raises `GeneratorError` for a sequence as long as the model reads: vLLM always samples one more token.
        """
        for ids in sequences:
            if not 0 < len(ids) < self._max_length:
                raise GeneratorError(
                    f"a sequence to score has {len(ids)} tokens; generator vllm scores 1 to {self._max_length - 1}"
                )
        outputs = dict(self._engine.run({number: (ids, SCORE) for number, ids in enumerate(sequences)}))
        return [np.array(outputs[number].prompt_logprobs.logprobs, dtype=np.float32) for number in sorted(outputs)]

    def sync_weights(self, weights: WeightSource, version: int) -> None:
        """Hand the student's weights over, one tensor at a time. Raises `GeneratorError` for ones that do not match."""
        self._engine.load(weights.named_tensors())
        self._version = version

    def close(self) -> None:
        """Stop the engine. Calling it twice is fine."""
        self._engine.close()

    def _rollout(self, completion: Any, sampling: Sampling, version: int) -> Rollout:
        ids = np.array(completion.token_ids, dtype=np.int32)
        logprobs = np.array(completion.logprobs.logprobs, dtype=np.float32)
        sample = Sample(ids, logprobs, completion.finish_reason, version)
        return to_rollout(sample, sampling, version, self._tokenizer)

    def _check_length(self, prompt: Prompt, sampling: Sampling) -> None:
        length = len(prompt.token_ids)
        if length == 0:
            raise GeneratorError(f"prompt {prompt.id!r} has no token ids; render its messages before generating")
        if length + sampling.max_tokens > self._max_length:
            raise GeneratorError(
                f"prompt {prompt.id!r} has {length} tokens; with {sampling.max_tokens} to sample that is "
                f"{length + sampling.max_tokens}, and the model reads at most {self._max_length}. Lower max_tokens, or "
                "drop the prompt"
            )
