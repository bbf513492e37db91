"""The keys and values of a batch while it is decoded: transformers' cache, with layers that have room to grow.

A plain dynamic layer joins its past and one token into new tensors at every token, so that a long response copies its
whole past each time. Here a token is written into spare room. Layers of bounded size (sliding windows, linear
attention) stay transformers' own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

_ROOM = 64
"""Tokens of spare room at least; a quarter of the length where that is more."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """One layer's keys and values, [n, heads, S, head size] each, as the filled part of larger tensors.

    It does what decoding needs: `update` and `reorder_cache`, which may also repeat or drop rows.
    """

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self._length = 0
        self._all_keys, self._all_values = key_states[:, :, :0], value_states[:, :, :0]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append [n, heads, t, head size]; returns everything so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._length = self._length, self._length + key_states.shape[2]
        if self._length > self._all_keys.shape[2]:
            self._all_keys = _with_room(self._all_keys, start, self._length)
            self._all_values = _with_room(self._all_values, start, self._length)
        self._all_keys[:, :, start : self._length] = key_states
        self._all_values[:, :, start : self._length] = value_states
        return self._show()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Make row i what row beam_idx[i] was."""
        self._all_keys = _with_room(self.keys[beam_idx], self._length, self._length)
        self._all_values = _with_room(self.values[beam_idx], self._length, self._length)
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys = self._all_keys[:, :, : self._length]
        self.values = self._all_values[:, :, : self._length]
        return self.keys, self.values


def _with_room(states: Tensor, filled: int, needed: int) -> Tensor:
    """A copy of the first `filled` positions, with room for `needed` and more."""
    rows, heads, _, size = states.shape
    larger = states.new_empty(rows, heads, needed + max(_ROOM, needed // 4), size)
    larger[:, :, :filled] = states[:, :, :filled]
    return larger


def build_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache for a model with this config."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
