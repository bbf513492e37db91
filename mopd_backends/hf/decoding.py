"""The loop over tokens: prompts are read once for all their rollouts, and rollouts that stopped leave the batch.

Axes: P prompts, n rollouts still in the batch of N at the start, S the longest prompt, T the token limit, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from mopd_backends.hf.cache import build_cache
from mopd_backends.hf.sampling import Races, draw, log_distribution
from mopd_core.types import Sampling

_KEEP_ABOVE = 0.8
"""Dropping rows copies the cache, so rows that stopped stay until the others are at most this share of the batch."""


class Ended(NamedTuple):
    """Rows of the batch that have ended: their numbers, token ids [rows, T] and log-probabilities [rows, T]."""

    rows: list[int]
    tokens: Tensor
    log_probs: Tensor


class Decoder:
    """One batch: reads the prompts, then draws a token a row until every row stopped or reached the limit.

    prompts: P arrays of token ids. seeds: the seeds of each prompt's rollouts, P lists, N in all.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[NDArray[np.int32]],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
    ) -> None:
        self._model, self._sampling = model, sampling
        self._cache = build_cache(model.config)
        self._stops = torch.tensor(sampling.stop_ids, dtype=torch.long, device=model.device)
        ids, self._mask = _pad_left(prompts, model.device)
        self._positions = self._mask.sum(-1)
        reading = (self._mask.cumsum(-1) - 1).clamp_min(0)
        self._logits = self._forward(ids, self._mask, reading)
        self._share_prompts([len(group) for group in seeds])
        flat = [seed for group in seeds for seed in group]
        self._races = Races(flat, self._logits.shape[-1], model.device) if sampling.temperature else None

    def decode(self) -> Iterator[Ended]:
        """The rows that end with each token, those that end together in order; after the last token, all others."""
        limit = self._sampling.max_tokens
        tokens = torch.zeros(len(self._mask), limit, dtype=torch.long, device=self._mask.device)
        log_probs = torch.zeros_like(tokens, dtype=torch.float32)
        going = len(self._rows)
        for t in range(limit):
            drawn, drawn_log_probs = self._draw()
            tokens[self._rows, t], log_probs[self._rows, t] = drawn, drawn_log_probs
            went_on = ~self._stopped
            self._stopped |= torch.isin(drawn, self._stops)
            went, going = going, len(self._rows) - int(self._stopped.sum())
            last = t == limit - 1
            if last or going < went:
                ended = self._rows[went_on if last else went_on & self._stopped]
                yield Ended(ended.tolist(), tokens[ended, : t + 1], log_probs[ended, : t + 1])
            if last or going == 0:
                return
            if going <= _KEEP_ABOVE * len(self._rows):
                drawn = drawn[~self._stopped]
                self._drop_stopped()
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(drawn), 1)], dim=1)
            self._logits = self._forward(drawn[:, None], self._mask, self._positions[:, None] + t)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        output: Any = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _draw(self) -> tuple[Tensor, Tensor]:
        log_probs = log_distribution(self._logits, self._sampling)
        if self._races is None:
            best = log_probs.max(-1)
            return best.indices, best.values
        return draw(log_probs, self._races.log_times())

    def _share_prompts(self, group_sizes: Sequence[int]) -> None:
        """Turn the P rows that were read into one row a rollout."""
        sizes = torch.tensor(group_sizes, device=self._mask.device)
        rows = torch.repeat_interleave(torch.arange(len(group_sizes), device=sizes.device), sizes)
        self._rows = torch.arange(len(rows), device=rows.device)
        self._stopped = torch.zeros_like(self._rows, dtype=torch.bool)
        self._logits = self._logits[rows]
        self._select(rows)

    def _drop_stopped(self) -> None:
        kept = (~self._stopped).nonzero()[:, 0]
        self._rows, self._stopped = self._rows[kept], self._stopped[kept]
        self._select(kept)
        if self._races is not None:
            self._races.keep(kept.tolist())

    def _select(self, rows: Tensor) -> None:
        self._mask, self._positions = self._mask[rows], self._positions[rows]
        self._cache.reorder_cache(rows)


def _pad_left(prompts: Sequence[NDArray[np.int32]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids [P, S] with zeros before shorter prompts, and a mask [P, S] of ones where there is a prompt."""
    longest = max(len(prompt) for prompt in prompts)
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
