"""Low-rank adapters through peft: the base stays as it is, the adapters are trained, and what they do can be merged.

Adapters are put into the model's own modules, so that it stays the class that it was. `merged_weights` is the model as
its checkpoint would name it, whether it has adapters or not.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mopd_core.config.sections import LoraConfig
from mopd_core.errors import ConfigError
from mopd_core.seeds import derive_seed

ADAPTER = "default"
_BASE = ".base_layer"


def add_adapters(model: nn.Module, config: LoraConfig, seed: int) -> None:
    """Freeze the model and put adapters into it, in place; at first they change nothing it computes.

    seed: the run's; every rank draws the same adapters. Raises `ConfigError` where peft is missing, where nothing in
    the model has one of the names, and for a tied weight.
    """
    peft = _peft()
    targets = config.target_modules if isinstance(config.target_modules, str) else list(config.target_modules)
    options = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"
    )
    model.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, 0, "", "adapters"))
        try:
            peft.inject_adapter_in_model(options, model, ADAPTER)
        except ValueError as error:
            raise ConfigError(f"model.lora.target_modules {config.target_modules!r} cannot be used: {error}") from error
    _check_untied(model)


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise ConfigError(
            "model.lora needs the package peft; pip install 'mopd[lora]', or leave model.lora out"
        ) from error


def _check_untied(model: nn.Module) -> None:
    """Raise `ConfigError` for an adapter on a weight that stands in two places: merging it would change both."""
    ends: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]  # type: ignore[operator]
    if ends[0].weight is ends[1].weight and any(_has_adapter(end) for end in ends):
        raise ConfigError(
            "model.lora.target_modules names the embeddings or the output head, which are one weight in this model; an "
            "adapter on one of them cannot be merged. Leave them out"
        )


def _has_adapter(module: nn.Module) -> bool:
    return hasattr(module, "get_delta_weight") and hasattr(module, "base_layer")


def merged_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every weight once, under its checkpoint's name, with what its adapter adds; split weights come split.

    Collective where the model is split over ranks.
    """
    parameters = dict(model.named_parameters())
    if not any(_BASE in name for name in parameters):
        yield from ((name, parameter.detach()) for name, parameter in parameters.items())
        return
    changed = {f"{name}{_BASE}.weight": module for name, module in model.named_modules() if _has_adapter(module)}
    for name, parameter in parameters.items():
        if not parameter.requires_grad:  # An adapter is the only thing that is trained.
            yield name.replace(_BASE, ""), _merged(parameter.detach(), changed.get(name))


@torch.no_grad()
def _merged(weight: Tensor, module: Any) -> Tensor:
    """The weight with what the adapter of its module, if it has one, adds to it."""
    return weight if module is None else weight + module.get_delta_weight(ADAPTER)
