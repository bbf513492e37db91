"""Compiled blocks: the same numbers and names, for flat rows of any length, with gradients, checkpointing and adapters.

Traced as always, but what is traced runs as it is: to generate code takes too long for a test.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from mopd_core.config.sections import LoraConfig
from mopd_core.errors import ConfigError, ModelError
from mopd_core.testing.tiny import tiny_student
from mopd_core.training import models
from mopd_core.training.layout import lay_out
from mopd_core.training.lora import add_adapters
from mopd_core.training.models import compile_blocks, flat_hidden


@pytest.fixture(autouse=True)
def _without_generated_code(monkeypatch):
    original = nn.Module.compile
    torch._dynamo.reset()
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: original(self, backend="eager", **options))
    monkeypatch.setattr(models.shutil, "which", lambda name: "/usr/bin/" + name)


def layouts(draw_ids):
    root = draw_ids(20)
    return [lay_out([np.concatenate([root, draw_ids(n + size, n)]) for n in (1, 2, 3)]) for size in (4, 9, 30)]


def passes(model, layouts):
    """Hidden states of all layouts, and the gradients by name of a random projection of them."""
    model.zero_grad()
    hidden = [flat_hidden(model, layout) for layout in layouts]
    draw = torch.Generator().manual_seed(0)
    torch.stack([(states * torch.randn(states.shape, generator=draw)).sum() for states in hidden]).sum().backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return hidden, found


def with_adapters(model):
    add_adapters(model, LoraConfig(rank=2), seed=0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)


CHANGES = {"plain": lambda model: None, "checkpointing": models.enable_checkpointing, "adapters": with_adapters}


@pytest.mark.parametrize("change", CHANGES)
def test_compiled_blocks_compute_the_same(change, draw_ids):
    if change == "adapters":
        pytest.importorskip("peft")
    model = tiny_student()
    CHANGES[change](model)
    names, all_layouts = list(model.state_dict()), layouts(draw_ids)
    expected_hidden, expected = passes(model, all_layouts)
    compile_blocks(model)
    torch._dynamo.utils.counters.clear()
    hidden, gradients = passes(model, all_layouts)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert list(model.state_dict()) == names
    torch.testing.assert_close(hidden, expected_hidden, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert (gradient - expected[name]).abs().max() <= 1e-5 * expected[name].abs().max(), name


def test_a_new_length_builds_no_new_graph(draw_ids):
    """Nor does a new tree: attention is left out of the graphs."""
    model = tiny_student()
    compile_blocks(model)
    first, *others = layouts(draw_ids)
    passes(model, [first])
    torch._dynamo.utils.counters.clear()
    passes(model, others)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (partial(nn.Linear, 2, 2), ModelError, "Linear does not say what its blocks are; set training.compile=false"),
        (tiny_student, ConfigError, "needs a C\\+\\+ compiler on a CPU, and there is none"),
    ],
    ids=["no blocks", "no compiler"],
)
def test_what_cannot_be_compiled_is_one_clear_line(make, error, words, monkeypatch):
    if error is ConfigError:
        monkeypatch.setattr(models.shutil, "which", lambda name: None)
        monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(error, match=words):
        compile_blocks(make())
