"""What a teacher that is a model gives for a micro-batch: hidden states, turned into logits a chunk at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mopd_core.output_head import Head, LinearLogits
from mopd_core.training.layout import FlatSequences
from mopd_core.training.models import flat_hidden


class ModelPass:
    """Keeps hidden states [n, D]; logits [rows, V] exist only while a chunk is scored."""

    def __init__(self, model: nn.Module, sequences: FlatSequences) -> None:
        self.head = Head(model)
        plain = self.head.plain
        self._linear = None if plain is None else LinearLogits(plain)
        with torch.no_grad():
            self.hidden = flat_hidden(model, sequences)

    @torch.no_grad()
    def logits(self, rows: Tensor) -> Tensor:
        """[len(rows), V]: what the model predicts after the flat rows; valid until the next call."""
        hidden = self.hidden[rows]
        return self.head(hidden) if self._linear is None else self.head.finish(self._linear(hidden))
