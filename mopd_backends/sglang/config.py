"""Options of generator `sglang`. Imports no torch and no engine: listings and schemas read this file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mopd_backends.servers.config import EngineConfig, check_interpreter

if TYPE_CHECKING:
    from mopd_backends.servers.api import ServerApi


class SglangConfig(EngineConfig):
    """SGLang in this process, or servers of it."""

    result_neutral: ClassVar[frozenset[str]] = EngineConfig.result_neutral | {"sleep", "python"}

    deterministic: bool = False
    """Honour the seed of every rollout. SGLang then samples and multiplies in a slower, batch-independent way; without
    it, seeds are ignored. Servers of your own have to be started with `--enable-deterministic-inference`."""

    sleep: bool = True
    """In this process, on a GPU: give the memory of keys and values to training while nothing is sampled."""

    python: Path | None = None
    """The Python interpreter of the environment that SGLang is installed in, for `managed` and `mopd serve`. Default:
    this one's."""

    def server_api(self, vocabulary: int, device: str, dtype: str) -> ServerApi:
        from mopd_backends.sglang.api import SglangApi

        return SglangApi(self, vocabulary, device, dtype)

    def check_startable(self) -> None:
        """Of another environment's interpreter only whether it is there is known here."""
        from mopd_backends.sglang.version import check_installed

        if self.python is None:
            check_installed()
        else:
            check_interpreter(self.python)
