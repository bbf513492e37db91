"""A model whose weights are split over the ranks (FSDP2): its blocks are whole only while they compute.

The root's own weights (embeddings, last norm, output head) become whole in the forward pass over flat sequences, and
stay so until the backward pass has used them, or `rest` is called: the head is applied outside of the model's forward.
Everything here leaves a model that is not split as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from mopd_core.config.sections import TrainingConfig
from mopd_core.errors import ModelError
from mopd_core.training.ranks import Ranks

_DECODE = "mopd_decode"


def shard(model: nn.Module, ranks: Ranks, device: torch.device, dtype: torch.dtype) -> None:
    """Split a model's weights over all ranks, in place, and move them to `device`. Its parameters become `DTensor`s.

    dtype: what forward passes compute in; blocks are gathered in it, while weights, their gradients' sums and the
    root's own weights stay in fp32. Gradients are summed over ranks, not averaged. Raises `ModelError` for a model
    without blocks.
    """
    mesh = init_device_mesh(device.type, (ranks.count,))
    policy = MixedPrecisionPolicy(
        param_dtype=None if dtype == torch.float32 else dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    parts = blocks(model, "use training.parallel=ddp")
    for block in parts:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(
        model, mesh=mesh, reshard_after_forward=False, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False)
    )
    for module in (*parts, model):
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    decoder = model.get_decoder()  # type: ignore[operator]
    setattr(model, _DECODE, decoder.forward)
    register_fsdp_forward_method(model, _DECODE)
    decoder.forward = getattr(model, _DECODE)


def blocks(model: nn.Module, instead: str) -> list[nn.Module]:
    """The modules that the family's authors say stay whole; `ModelError` that advises `instead` where they do not."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    found = [module for module in model.modules() if type(module).__name__ in names]
    if not found:
        raise ModelError(f"{type(model).__name__} does not say what its blocks are; {instead}")
    return found


def is_split(config: TrainingConfig, device: torch.device, ranks: Ranks) -> bool:
    """Whether weights are split over the ranks, or every rank has all of them."""
    chosen = config.parallel == "fsdp" or (config.parallel == "auto" and device.type == "cuda")
    return chosen and ranks.count > 1


def rest(*models: nn.Module | None) -> None:
    """Let go of weights that a pass without a backward pass has left whole."""
    for model in models:
        root: object = model
        parts = model.modules() if model is not None and isinstance(root, FSDPModule) else ()
        for part in parts:
            if isinstance(part, FSDPModule):
                part.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The full tensor. Collective where it is split."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, full: Tensor) -> Tensor:
    """`full` split as `tensor` is, on its device; every rank brings the same values. What is split is left so."""
    full = full.to(tensor.device)
    if not isinstance(tensor, DTensor) or isinstance(full, DTensor):
        return full
    return distribute_tensor(full, tensor.device_mesh, tensor.placements, src_data_rank=None)
