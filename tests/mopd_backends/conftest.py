"""Syncs that go wrong in planted ways, for real engines of tiny students; the canary has to catch each at once."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mopd_core.config.sections import LoraConfig
from mopd_core.testing.generators import ModuleWeights
from mopd_core.training.canary import Canary, probe_of
from mopd_core.training.lora import add_adapters
from mopd_core.training.models import StudentWeights

HEAD = "lm_head.weight"


@dataclass(frozen=True)
class Tensors:
    """Weights that need not be anybody's."""

    tensors: dict[str, Tensor]

    def named_tensors(self):
        yield from self.tensors.items()


def weights_of(student):
    return {name: tensor.clone() for name, tensor in ModuleWeights(student).named_tensors()}


def whole(generator, old, new):
    """A sync as it should be."""
    generator.sync_weights(Tensors(new), 1)


def skipped(generator, old, new):
    """No sync at all."""


def swapped_layers(generator, old, new):
    first, second = "model.layers.0.", "model.layers.1."
    other = {first: second, second: first}
    whole(generator, old, {other.get(name[:15], name[:15]) + name[15:]: tensor for name, tensor in new.items()})


def stale_head(generator, old, new):
    """Everything but the head, for a student that has one of its own."""
    whole(generator, old, new | {HEAD: old[HEAD]})


@torch.no_grad()
def take_step(module):
    """Every weight moves by about 1e-3: an optimiser's step, and not another model."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        parameter += 1e-3 * torch.randn_like(parameter)


@pytest.fixture(scope="session")
def synced():
    """`synced(generator, student, prompts, how)`: what the canary measures after a step and a sync, or its alarm."""
    ways = {way.__name__: way for way in (whole, skipped, swapped_layers, stale_head)}

    def sync(generator, student, prompts, how):
        trained = copy.deepcopy(student)
        check = first_check(generator, trained, prompts)
        old = weights_of(trained)
        take_step(trained)
        ways[how](generator, old, weights_of(trained))
        return check()

    return sync


@pytest.fixture(scope="session")
def synced_without_adapter():
    """The same where adapters are trained, and the sync brings only what they stand on."""
    pytest.importorskip("peft")

    def sync(generator, student, prompts):
        adapted = copy.deepcopy(student)
        add_adapters(adapted, LoraConfig(rank=4, target_modules=("q_proj", "down_proj")), seed=0)
        check = first_check(generator, adapted, prompts)
        take_step(nn.ModuleList(part for name, part in adapted.named_modules() if name.endswith("lora_B.default")))
        generator.sync_weights(ModuleWeights(student), 1)
        return check()

    return sync


def first_check(generator, student, prompts):
    """Sync and check version 0, as a run does first; returns the check of version 1."""
    canary = Canary("planted", probe_of(prompts), torch.device("cpu"), torch.float32)

    def check(version=1):
        return canary.check(canary.trainer_scores(student), generator.score(canary.probe), version)

    generator.sync_weights(StudentWeights(student), 0)
    check(0)
    return check
