"""vLLM in this process as the generator sees it: requests by key, whole checkpoints in, asleep or awake.

What a request asks for is in `requests`, how the engine comes and goes in `launch`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, distributed

from mopd_backends.vllm import launch
from mopd_backends.vllm.config import VllmConfig
from mopd_core.contexts import ModelContext
from mopd_core.errors import GeneratorError

Key = TypeVar("Key")


class Engine:
    """One engine, started with the weights at `context.model_path`.

    On a GPU it lets go of its memory with `sleep`, if the config wants that, and wakes when it is needed: for weights
    only its weights come back.
    """

    def __init__(self, config: VllmConfig, context: ModelContext) -> None:
        self._owns_group = not distributed.is_initialized()
        self._engine: Any | None = launch.start(config, context)
        self._sleeps = config.sleep and context.device.type == "cuda"
        self._numbers = count()

    def run(self, requests: Mapping[Key, tuple[NDArray[np.int32], Mapping[str, Any]]]) -> Iterator[tuple[Key, Any]]:
        """Submit prompts [S] with their sampling parameters, all at once, and yield vLLM's output of each as it ends.

        What has not ended when the caller stops listening is aborted.
        """
        engine = self._open()
        if requests and engine.is_sleeping():
            engine.wake_up()
        running: dict[str, Key] = {}
        try:
            for key, (ids, params) in requests.items():
                running[self._submit(engine, ids, params)] = key
            while running:
                for output in engine.step():
                    if output.finished and output.request_id in running:
                        yield running.pop(output.request_id), output
        finally:
            engine.abort_request(list(running))

    def load(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Put a checkpoint's weights in force and forget what was computed with the old ones.

        Raises `GeneratorError` for names or shapes that do not match; some of the new weights are then in force.
        """
        engine = self._open()
        if engine.is_sleeping():
            engine.wake_up(["weights"])
        try:
            engine.collective_rpc("mopd_load", args=(tensors,))
        except (ValueError, KeyError, AttributeError, AssertionError, RuntimeError) as error:
            raise GeneratorError(
                f"vLLM did not take the student's weights ({type(error).__name__}: {error}); its model has to be the "
                "student's, and of a family whose checkpoints vLLM reads"
            ) from error
        if not engine.reset_prefix_cache():
            raise GeneratorError("vLLM holds on to what it computed with old weights; let streams end before a sync")

    def sleep(self) -> None:
        """Let go of the GPU's memory until the next request or weights, where the config wants that."""
        if self._sleeps and self._engine is not None:
            self._engine.sleep(level=1)

    def close(self) -> None:
        """Stop. Calling it twice is fine."""
        engine, self._engine = self._engine, None
        if engine is not None:
            launch.stop(engine, owns_group=self._owns_group)

    def _open(self) -> Any:
        if self._engine is None:
            raise GeneratorError("the generator is closed; build another one to sample again")
        return self._engine

    def _submit(self, engine: Any, ids: NDArray[np.int32], params: Mapping[str, Any]) -> str:
        sampling: Any = importlib.import_module("vllm.sampling_params")
        inputs: Any = importlib.import_module("vllm.inputs.engine")
        name = str(next(self._numbers))
        at_the_end = sampling.RequestOutputKind.FINAL_ONLY
        options = sampling.SamplingParams(**params, flat_logprobs=True, output_kind=at_the_end)
        engine.add_request(name, inputs.tokens_input(ids.tolist()), options)
        return name
