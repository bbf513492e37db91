"""What a teacher that is a model gives for a micro-batch: hidden states, turned into logits a chunk at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mopd_core.training.layout import FlatSequences
from mopd_core.training.models import Head, flat_hidden


class ModelPass:
    """Keeps hidden states [n, D]; logits [rows, V] exist only while a chunk is scored."""

    def __init__(self, model: nn.Module, sequences: FlatSequences) -> None:
        self.head = Head(model)
        with torch.no_grad():
            self.hidden = flat_hidden(model, sequences)

    def logits(self, rows: Tensor) -> Tensor:
        """[len(rows), V]: what the model predicts after the flat rows."""
        with torch.no_grad():
            return self.head(self.hidden[rows])
