"""The student's weights on their way into an engine in this process, some of them at a time.

A bucket is one piece of memory that both processes map: shared memory on a CPU, CUDA IPC on a GPU. SGLang loads it as
it loads a Hugging Face checkpoint, whose names it takes; a tied head is the embedding there and here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from mopd_backends.sglang.host import GRACE_S, EngineHost
from mopd_core.errors import GeneratorError
from mopd_core.interfaces import WeightSource

BUCKET_BYTES = 2**28
FORMAT = "flattened_bucket"


def send_weights(host: EngineHost, weights: WeightSource, dtype: torch.dtype, version: int) -> None:
    """Put weights into the engine, in `dtype`, and let its prefix cache go; it samples nothing meanwhile.

    Raises `GeneratorError` where it takes them not; they are then partly new.
    """
    messages: Any = importlib.import_module("sglang.srt.managers.io_struct")
    manager = host.manager
    _expect(host.call(manager.begin_weight_update(messages.BeginWeightUpdateReqInput(), None)), version)
    try:
        for bucket in buckets(weights.named_tensors(), dtype, BUCKET_BYTES):
            update = messages.UpdateWeightsFromTensorReqInput(
                serialized_named_tensors=_serialised(bucket, host.ranks),
                load_format=FORMAT,
                flush_cache=False,
                weight_version=str(version),
            )
            _expect(host.call(manager.update_weights_from_tensor(update, None)), version)
    finally:
        ended = host.call(manager.end_weight_update(messages.EndWeightUpdateReqInput(), None))
    _expect(ended, version)
    flushed = host.call(manager.flush_cache(timeout_s=GRACE_S))
    _expect((flushed.success, flushed.message), version)


def buckets(
    tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype, limit: int
) -> Iterator[list[tuple[str, Tensor]]]:
    """Tensors in `dtype`, in order, as many to a list as `limit` bytes hold, and at least one."""
    bucket: list[tuple[str, Tensor]] = []
    size = 0
    for name, tensor in tensors:
        ready = tensor.detach().to(dtype).contiguous()
        if bucket and size + ready.nbytes > limit:
            yield bucket
            bucket, size = [], 0
        bucket.append((name, ready))
        size += ready.nbytes
    if bucket:
        yield bucket


def _serialised(bucket: list[tuple[str, Tensor]], ranks: int) -> list[bytes]:
    """Handles of a bucket's memory, one for each of the engine's ranks; the memory lives until all have let it go."""
    memory: Any = importlib.import_module("sglang.srt.weight_sync.tensor_bucket")
    utils: Any = importlib.import_module("sglang.srt.utils")
    flat = memory.FlattenedTensorBucket(named_tensors=bucket)
    content = {"flattened_tensor": flat.get_flattened_tensor(), "metadata": flat.get_metadata()}
    return [utils.MultiprocessingSerializer.serialize(content) for _ in range(ranks)]


def _expect(outcome: tuple[bool, Any], version: int) -> None:
    success, message = outcome
    if not success:
        raise GeneratorError(f"SGLang did not take version {version} of the weights: {message}")
