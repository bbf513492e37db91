"""One chunk of tokens through the output head: logits forward, gradients of hidden states and head back.

A plain linear head is two products each way, into buffers that all chunks share; any other module (an adapter on the
head, a sharded weight) runs as it is and goes back through autograd. Both read and write a chunk in tiles of its rows.
A kind of head with a closed form of its own gets its `HeadPass` here and a line in `head_pass`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from mopd_core.divergences.tokens import at_least_fp32
from mopd_core.output_head import Head, LinearLogits


class HeadPass(Protocol):
    """The head while it is evaluated chunk by chunk.

    gradients: those of the head's parameters, in their order, summed over the chunks so far.
    """

    gradients: list[Tensor]

    def forward(self, hidden: Tensor) -> None:
        """Take a chunk's hidden states [n, D]."""
        ...

    def logits(self, part: slice) -> Tensor:
        """The chunk's logits of some rows, [rows, V], at least fp32. They may be overwritten by `put`."""
        ...

    def in_place(self) -> tuple[Tensor, Tensor] | None:
        """The chunk's logits [n, V] in their own dtype, and where to put the derivative by them: maybe the same place.

        None where they are scaled or capped after the product.
        """
        ...

    def put(self, part: slice, slope: Tensor, logits: Tensor) -> None:
        """Take the derivative by these rows' `logits`, [rows, V] each."""
        ...

    def backward(self, rows: int) -> Tensor:
        """Gradients of the chunk's first `rows` hidden states [rows, D]; adds to `gradients`. All were `put`."""
        ...


def head_pass(head: Head) -> HeadPass:
    """How to evaluate `head` on chunks of hidden states."""
    linear = head.plain
    return AutogradPass(head) if linear is None else LinearPass(head, linear)


class LinearPass:
    """A linear layer's logits are W h + b; with slope g, the gradients are g W, g^T h and the sum of g over rows.

    Products are in the dtype that autocast would choose, the head's gradients in its own.
    """

    def __init__(self, head: Head, linear: nn.Linear) -> None:
        self.head = head
        self.linear = LinearLogits(linear)
        parameters = (linear.weight, linear.bias)
        self._of_weight, self._of_bias = (
            torch.zeros_like(parameter) if parameter is not None and parameter.requires_grad else None
            for parameter in parameters
        )
        self.gradients = [total for total in (self._of_weight, self._of_bias) if total is not None]

    def forward(self, hidden: Tensor) -> None:
        self.hidden = hidden.to(self.linear.weight.dtype)
        self.output = self.linear(self.hidden)

    def logits(self, part: slice) -> Tensor:
        return at_least_fp32(self.head.finish(self.output[part]))

    def in_place(self) -> tuple[Tensor, Tensor] | None:
        return (self.output, self.output) if self.head.scale == 1.0 and self.head.softcap is None else None

    def put(self, part: slice, slope: Tensor, logits: Tensor) -> None:
        # `data` has a version of its own: else autograd in another tile would take its rows for overwritten.
        self.output.data[part] = self.head.before_finish(slope, logits)

    def backward(self, rows: int) -> Tensor:
        slope, hidden = self.output[:rows], self.hidden[:rows]
        if self._of_weight is not None:
            _add_product(self._of_weight, slope.T, hidden)
        if self._of_bias is not None:
            self._of_bias += slope.sum(0)
        return slope @ self.linear.weight


class AutogradPass:
    """Any module, differentiated a chunk at a time."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.parameters = head.parameters()
        self.gradients = [torch.zeros_like(parameter) for parameter in self.parameters]

    def forward(self, hidden: Tensor) -> None:
        with torch.enable_grad():
            self.hidden = hidden.detach().requires_grad_()
            self.output = self.head(self.hidden)
        self.slope = torch.zeros_like(self.output)

    def logits(self, part: slice) -> Tensor:
        return at_least_fp32(self.output.detach()[part])

    def in_place(self) -> tuple[Tensor, Tensor] | None:
        return self.output.detach(), self.slope

    def put(self, part: slice, slope: Tensor, logits: Tensor) -> None:
        self.slope[part] = slope

    def backward(self, rows: int) -> Tensor:
        output, slope = self.output, self.slope
        del self.output, self.slope  # Else they would outlive the making of the next chunk's.
        if rows == 0:
            return self.hidden[:0]
        slope[rows:] = 0.0
        of_hidden, *of_head = torch.autograd.grad(output, [self.hidden, *self.parameters], slope)
        for total, gradient in zip(self.gradients, of_head, strict=True):
            total += gradient
        return of_hidden[:rows]


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, without a tensor of the product's size where the dtypes allow it."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
