"""Copying the student's weights into the generator's own model by name; a sync never quietly does nothing."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mopd_core.errors import GeneratorError


@torch.no_grad()
def copy_weights(model: nn.Module, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Copy tensors into the model's weights in place; dtype and device become the model's.

    Names are those of `state_dict`. A tied weight may come under any of its names. Raises `GeneratorError` for a name
    that the model does not have, a wrong shape, or a parameter that never came; the weights are then partly copied.
    """
    own = model.state_dict(keep_vars=True)
    missing = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, tensor in tensors:
        if name not in own:
            raise GeneratorError(
                f"the generator's model has no weight called {name!r}; names have to be those of the student's "
                f"state_dict, such as {next(iter(own))!r}"
            )
        if own[name].shape != tensor.shape:
            raise GeneratorError(
                f"weight {name!r} came with shape {tuple(tensor.shape)}; the generator's model holds "
                f"{tuple(own[name].shape)}. Both have to be built from one config"
            )
        own[name].copy_(tensor)
        missing.pop(id(own[name]), None)
    if missing:
        raise GeneratorError(
            f"{len(missing)} weights did not come, {next(iter(missing.values()))!r} among them; a sync has to bring "
            "every parameter of the student"
        )
