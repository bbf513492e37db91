"""Options of generator `vllm`. Imports neither torch nor vLLM: listings and schemas read this file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mopd_backends.servers.config import EngineConfig, check_interpreter

if TYPE_CHECKING:
    from mopd_backends.vllm.api import VllmApi


class VllmConfig(EngineConfig):
    """vLLM in this process, or servers of it."""

    result_neutral: ClassVar[frozenset[str]] = EngineConfig.result_neutral | {"sleep", "cpu_cache_gib", "python"}

    sleep: bool = True
    """In this process on a GPU: give the engine's memory to training while nothing is sampled. Its weights then move to
    the CPU and back in every step; `false` suits rollouts that are sampled ahead."""

    cpu_cache_gib: float = Field(default=1.0, gt=0)
    """On a CPU: memory for keys and values, in GiB."""

    python: Path | None = None
    """The Python interpreter of the environment that has vLLM and mopd, for `managed` and `mopd serve`. Default: this
    one's."""

    def server_api(self, vocabulary: int, device: str, dtype: str) -> VllmApi:
        from mopd_backends.vllm.api import VllmApi

        return VllmApi(self, vocabulary, device, dtype)

    def check_startable(self) -> None:
        """Of another environment's interpreter only whether it is there is known here."""
        from mopd_backends.vllm.version import require_vllm

        if self.python is None:
            require_vllm()
        else:
            check_interpreter(self.python)
