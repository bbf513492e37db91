"""The output head: from hidden states to logits. A family with an unusual head is added to `Head`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Head:
    """The output head: hidden states [n, D] to logits [n, V], scaled and soft-capped as the model's config says."""

    def __init__(self, model: nn.Module) -> None:
        config: Any = model.config
        self.linear: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self.scale = float(getattr(config, "logit_scale", None) or 1.0) / float(
            getattr(config, "logits_scaling", None) or 1.0
        )
        self.vocabulary: int = self.linear.weight.shape[0]

    def __call__(self, hidden: Tensor) -> Tensor:
        return self.finish(self.linear(hidden))

    def finish(self, logits: Tensor) -> Tensor:
        """The linear layer's outputs [n, V], scaled and then soft-capped."""
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def before_finish(self, slope: Tensor, logits: Tensor) -> Tensor:
        """From the derivative by the finished `logits` [n, V] to that by the linear layer's outputs."""
        if self.softcap is not None:
            slope = slope * (1.0 - (logits / self.softcap).square_())
        return slope * self.scale if self.scale != 1.0 else slope

    @property
    def plain(self) -> nn.Linear | None:
        """The linear layer, if it is no more than its weight and bias: no adapter, no hook, no sharded weight."""
        linear = self.linear
        if type(linear) is not nn.Linear or type(linear.weight) is not nn.Parameter or "forward" in vars(linear):
            return None
        return None if linear._forward_hooks or linear._forward_pre_hooks else linear

    def parameters(self) -> list[nn.Parameter]:
        """What of the head is trained."""
        return [parameter for parameter in self.linear.parameters() if parameter.requires_grad]


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
