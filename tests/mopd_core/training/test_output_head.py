"""`Head`: which linear layers are plain, and the derivative of what is made of their outputs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from mopd_core.output_head import Head


def head_of(linear, **options):
    return Head(SimpleNamespace(config=SimpleNamespace(**options), get_output_embeddings=lambda: linear))


def hooked(linear):
    linear.register_forward_hook(lambda module, inputs, output: output + 1)
    return linear


def prepared(linear):
    linear.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    return linear


def replaced(linear):
    linear.forward = lambda hidden: hidden.sum(-1, keepdim=True)
    return linear


class Sharded(nn.Parameter):
    """Stands for a weight that is more than a tensor."""


def sharded(linear):
    linear.weight = Sharded(linear.weight.detach())
    return linear


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_plain(bias, frozen):
    linear = nn.Linear(3, 5, bias=bias).requires_grad_(not frozen)
    assert head_of(linear, final_logit_softcapping=30.0).plain is linear


@pytest.mark.parametrize("change", [hooked, prepared, replaced, sharded, parametrizations.weight_norm])
def test_a_linear_layer_that_does_something_else_is_not(change):
    assert head_of(change(nn.Linear(3, 5))).plain is None


@pytest.mark.parametrize(
    "options", [{}, {"final_logit_softcapping": 1.5}, {"logit_scale": 3.0}, {"logits_scaling": 4.0}]
)
def test_the_derivative_goes_back_through_scale_and_cap(options):
    head = head_of(nn.Linear(3, 5), **options)
    products = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits, slope = head.finish(products), torch.arange(20, dtype=torch.float64).reshape(4, 5)
    (expected,) = torch.autograd.grad(logits, products, slope)
    torch.testing.assert_close(head.before_finish(slope, logits.detach()), expected)


def test_scale_and_cap_by_hand():
    """1.5 tanh(3 x 0.5 / 1.5) = 1.5 tanh 1."""
    head = head_of(nn.Linear(3, 5), final_logit_softcapping=1.5, logit_scale=3.0)
    assert head.finish(torch.tensor([0.5])).item() == pytest.approx(1.5 * 0.76159416)
