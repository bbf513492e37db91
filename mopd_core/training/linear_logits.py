"""A plain output head over chunks of rows, without a new tensor of logits for each of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearLogits:
    """A linear layer's outputs W h + b, without gradient, in the dtype that autocast would choose.

    They stand in one buffer, which the next call overwrites: memory that a process has just been given costs more to
    touch for the first time than a small head's product.
    """

    def __init__(self, linear: nn.Linear) -> None:
        weight, bias = linear.weight.detach(), linear.bias
        device = weight.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        self.weight = weight.to(dtype)
        self.bias: Tensor | None = None if bias is None else bias.detach().to(dtype)
        self._buffer = self.weight.new_empty(0, len(weight))

    def __call__(self, hidden: Tensor) -> Tensor:
        """hidden: [n, D]. Returns [n, V]; the first call is best the one with the most rows."""
        if len(self._buffer) < len(hidden):
            self._buffer = self.weight.new_empty(len(hidden), len(self.weight))
        hidden, output = hidden.to(self.weight.dtype), self._buffer[: len(hidden)]
        if self.bias is None:
            return torch.mm(hidden, self.weight.T, out=output)
        return torch.addmm(self.bias, hidden, self.weight.T, out=output)
