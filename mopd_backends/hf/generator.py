"""Generator `hf`: samples with its own copy of the student, in this process.

A rollout depends on its prompt, its seed and the weights; not on the batch it was decoded in, beyond what rounding does
when two tokens are as good as tied (kernels round differently at different batch sizes, in bf16 visibly). CPU and CUDA
draw different numbers from one seed. Greedy rollouts (temperature 0) carry log-probability 0: each token was certain.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, PreTrainedModel

from mopd_backends.collect import in_order
from mopd_backends.hf.batches import Share, plan_batches
from mopd_backends.hf.config import HfConfig
from mopd_backends.hf.decoding import Decoder
from mopd_backends.hf.weights import copy_weights
from mopd_core.contexts import ModelContext
from mopd_core.errors import GeneratorError
from mopd_core.interfaces import Tokenizer, WeightSource
from mopd_core.types import Prompt, Rollout, Sampling


def build(config: HfConfig, context: ModelContext) -> HfGenerator:
    """A generator with its own copy of `context.student`, in `compute_dtype` on `device`."""
    return HfGenerator(config, inference_copy(context), context.tokenizer)


def inference_copy(context: ModelContext) -> PreTrainedModel:
    """The student's architecture and weights with SDPA attention, whatever it trains with; no gradient."""
    with context.device:
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            copy.deepcopy(context.student.config), dtype=context.compute_dtype, attn_implementation="sdpa"
        )
    model.eval().requires_grad_(False)
    copy_weights(model, context.student.state_dict().items())
    return model


class HfGenerator:
    """Samples rollouts with `model`. Version 0 is the weights that it was built with."""

    def __init__(self, config: HfConfig, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
        self._config = config
        self._model: PreTrainedModel | None = model
        self._tokenizer = tokenizer
        self._version = 0

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> list[list[Rollout]]:
        """Sample len(seeds[p]) rollouts of each prompt p: P lists, in order. Raises what `stream` raises."""
        return in_order(self.stream(prompts, sampling, seeds=seeds), seeds)

    @torch.inference_mode()
    def stream(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, int, Rollout]]:
        """Yield (p, i, rollout) when rollout i of prompt p ends.

        Raises `GeneratorError` before anything is sampled for a prompt that is not rendered, or too long for the model
        with `max_tokens` after it.
        """
        model = self._open_model()
        _check_lengths(model, prompts, sampling)
        lengths = [len(prompt.token_ids) for prompt in prompts]
        for batch in plan_batches(lengths, [len(group) for group in seeds], self._config.batch_size):
            ids = [prompts[share.prompt].token_ids for share in batch]
            batch_seeds = [[seeds[share.prompt][i] for i in share.rollouts] for share in batch]
            keys = _keys(batch)
            for ended in Decoder(model, ids, batch_seeds, sampling).decode():
                tokens, log_probs = ended.tokens.cpu().numpy(), ended.log_probs.cpu().numpy()
                for row, row_tokens, row_log_probs in zip(ended.rows, tokens, log_probs, strict=True):
                    yield *keys[row], self._rollout(row_tokens, row_log_probs, sampling)

    @torch.inference_mode()
    def score(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """log p of every token but the first, [T - 1] each, nats, at temperature 1."""
        model = self._open_model()
        padded = pad_sequence([torch.from_numpy(ids.astype(np.int64)) for ids in sequences], batch_first=True)
        padded = padded.to(model.device)
        log_p = model(input_ids=padded, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        chosen = (
            log_p.gather(-1, padded[:, 1:, None])[..., 0].cpu().numpy()
        )  # What is padded comes after all that counts.
        return [row[: len(ids) - 1] for row, ids in zip(chosen, sequences, strict=True)]

    def sync_weights(self, weights: WeightSource, version: int) -> None:
        """Copy the student's weights in place. Raises `GeneratorError` for names or shapes that do not match."""
        copy_weights(self._open_model(), weights.named_parameters())
        self._version = version

    def close(self) -> None:
        """Let the model go. Calling it twice is fine."""
        self._model = None

    def _open_model(self) -> PreTrainedModel:
        if self._model is None:
            raise GeneratorError("the generator is closed; build another one to sample again")
        return self._model

    def _rollout(self, tokens: NDArray[np.int64], log_probs: NDArray[np.float32], sampling: Sampling) -> Rollout:
        stops = np.flatnonzero(np.isin(tokens, sampling.stop_ids))
        length = int(stops[0]) + 1 if len(stops) else sampling.max_tokens
        ids = tokens[:length].astype(np.int32)
        return Rollout(
            token_ids=ids,
            logprobs=log_probs[:length].copy(),
            text=self._tokenizer.decode(ids.tolist(), skip_special_tokens=True),
            finish_reason="stop" if len(stops) else "length",
            version=self._version,
            own=np.ones(length, dtype=np.bool_),
        )


def _keys(batch: Sequence[Share]) -> list[tuple[int, int]]:
    """(prompt, rollout) of every row of a batch."""
    return [(share.prompt, i) for share in batch for i in share.rollouts]


def _check_lengths(model: PreTrainedModel, prompts: Sequence[Prompt], sampling: Sampling) -> None:
    limit: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for prompt in prompts:
        length = len(prompt.token_ids)
        if length == 0:
            raise GeneratorError(f"prompt {prompt.id!r} has no token ids; render its messages before generating")
        if limit is not None and length + sampling.max_tokens > limit:
            raise GeneratorError(
                f"prompt {prompt.id!r} has {length} tokens; with {sampling.max_tokens} to sample that is "
                f"{length + sampling.max_tokens}, and the model reads at most {limit}. Lower max_tokens, or drop the "
                "prompt"
            )
