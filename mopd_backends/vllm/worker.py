"""What runs inside vLLM's workers: taking a whole checkpoint's weights while the engine is up.

vLLM mixes `WeightsExtension` into its worker class, which finds it in `extension`; nothing has to be registered, and a
server and an engine in this process load the same way. The environment that vLLM runs in needs this package.

vLLM's own reload leaves two things to whoever calls it. On a CPU a linear layer computes with a packed copy of its
weight, and the copy of an output head that is tied to the embeddings is not packed again: the old head stays in force.
And weights that never came are at most a line in a log.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn

EXTENSION = "mopd_backends.vllm.extension.WeightsExtension"
GIB = 1024**3


class Worker(Protocol):
    """The part of vLLM's worker that is used here."""

    vllm_config: Any
    model_config: Any

    def get_model(self) -> nn.Module: ...

    def mopd_load(self, tensors: Iterable[tuple[str, Tensor]]) -> None: ...


class WeightsExtension:
    """Methods that every worker gets. Names start with `mopd_`, so as not to meet vLLM's own."""

    def mopd_load(self: Worker, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Put a checkpoint's weights in force, taking one tensor after the other; a tied one may come once.

        Raises `ValueError` for a name that the model does not have, and for a weight that did not come. The model then
        holds some of the new weights.
        """
        model = self.get_model()
        reload: Any = importlib.import_module("vllm.model_executor.model_loader.reload")
        config: Any = importlib.import_module("vllm.config")
        with config.set_current_vllm_config(self.vllm_config), torch.no_grad():
            wanted = {name for name, _ in model.named_parameters()}
            reload.initialize_layerwise_reload(model)
            try:
                loaded = model.load_weights(tensors)  # type: ignore[operator]
            finally:
                reload.finalize_layerwise_reload(model, self.model_config)
                _pack_heads(model)
        if missing := sorted(wanted - loaded):
            raise ValueError(f"{len(missing)} of vLLM's weights did not come, {missing[0]!r} among them")

    def mopd_load_folder(self: Worker, folder: str) -> dict[str, str]:
        """`mopd_load` with all tensors of a folder's safetensors files. Raises `ValueError` where it has none."""
        self.mopd_load(read_folder(Path(folder)))
        return {"folder": folder}

    def mopd_info(self: Worker) -> dict[str, Any]:
        """What a trainer has to know before it samples from a server."""
        return {
            "model": self.model_config.model,
            "vocabulary": self.model_config.get_vocab_size(),
            "max_length": self.model_config.max_model_len,
            "logprobs_mode": self.model_config.logprobs_mode,
        }


def read_folder(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of all safetensors files in a folder, on the CPU, one at a time."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"there is no safetensors file in {folder}; the server has to see the folder that trainers see"
        )
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.offset_keys():
                yield name, tensors.get_tensor(name)


def _pack_heads(model: nn.Module) -> None:
    """Make output heads compute with the weights that they hold now. Only the CPU's have a copy."""
    layers: Any = importlib.import_module("vllm.model_executor.layers.vocab_parallel_embedding")
    for module in model.modules():
        if isinstance(module, layers.ParallelLMHead) and isinstance(
            module.quant_method, layers.UnquantizedEmbeddingMethod
        ):
            module.quant_method.process_weights_after_loading(module)
