"""Options that every engine with servers has. Imports no torch: listings and schemas read this file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from mopd_core.config.base import PluginConfig
from mopd_core.errors import ConfigError

if TYPE_CHECKING:
    from mopd_backends.servers.api import ServerApi
    from mopd_core.config.compose import RunConfig


class EngineConfig(PluginConfig):
    """An engine in this process, or servers of it."""

    result_neutral: ClassVar[frozenset[str]] = frozenset(
        {"urls", "managed", "api_key_env", "sync", "sync_folder", "max_wait_s", "request_timeout_s", "concurrency"}
    )

    urls: tuple[str, ...] = ()
    """Servers to sample from, such as `http://node1:8000`; none: the engine runs in this process."""

    managed: bool = False
    """Start a server for this run, and stop it when the run ends."""

    engine_args: tuple[str, ...] = ()
    """More flags for the engine's own command line, as they stand there; for `managed` and `mopd serve`."""

    memory_fraction: float = Field(default=0.5, gt=0, le=1)
    """Share of the GPU's memory that the engine takes where it starts with us."""

    api_key_env: str | None = None
    """The environment variable that holds the servers' API key; the key itself is never written anywhere."""

    sync: Literal["auto", "folder", "broadcast"] = "auto"
    """How weights reach servers: written to `sync_folder`, or broadcast over a process group (NCCL; gloo where the
    trainer computes on a CPU). `auto` broadcasts on CUDA if every server joins, unless rollouts are sampled ahead; the
    run's log says what was chosen, and why."""

    sync_folder: Path | None = None
    """Where weights are handed to servers: a folder that they and all ranks see, of one run at a time. Default: in the
    run's folder."""

    max_wait_s: float = Field(default=600.0, gt=0)
    """How long a step waits for servers that do not answer before the run stops with its state saved, in seconds."""

    request_timeout_s: float = Field(default=600.0, gt=0)
    """How long one response may take before its server counts as hanging, in seconds."""

    concurrency: int = Field(default=256, ge=1)
    """Requests in flight at one server."""

    _samples_ahead: bool = PrivateAttr(False)

    @property
    def samples_ahead(self) -> bool:
        """Whether rollouts are sampled while weights change; False before `conflict` has seen the run."""
        return self._samples_ahead

    def conflict(self, run: RunConfig) -> str | None:
        """A server that is started again between two syncs is given the weights that the trainer then has."""
        self._samples_ahead = run.rollout.max_staleness > 0
        if self.sync == "broadcast" and self._samples_ahead:
            return (
                f"sync is 'broadcast', but rollout.max_staleness is {run.rollout.max_staleness}: while weights change, "
                "a server that comes back could not be given those that are sampled from. Set generator.sync=folder, "
                "or rollout.max_staleness=0"
            )
        return None

    def server_api(self, vocabulary: int, device: str, dtype: str) -> ServerApi:
        """How this engine's servers are asked, and one is started that computes in `dtype` on `device`.

        vocabulary: entries of the student's output head. dtype: as torch names it, `float32` or `bfloat16`.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say which ServerApi it has")

    def check_startable(self) -> None:
        """Raise `ConfigError` where a server of this engine cannot be started here. Any may, unless an engine says."""

    def serve(self, run: RunConfig, port: int | None) -> int:
        """Serve what a run with this config samples from, until the server ends or Ctrl-C; returns its exit code.

        port: of the loopback interface; None takes a free one.
        """
        from mopd_backends.servers.serve import serve

        return serve(self, run, port)

    @model_validator(mode="after")
    def _one_kind_of_server(self) -> EngineConfig:
        if self.urls and self.managed:
            raise ValueError("urls name servers that run already, managed starts one; give one of the two")
        return self


def check_interpreter(python: Path) -> None:
    """Raise `ConfigError` where `generator.python` is no program."""
    if shutil.which(python) is None:
        raise ConfigError(
            f"generator.python is {str(python)!r}, which is no program that can be run; name the Python interpreter of "
            "an environment that has the engine, such as .venv-vllm/bin/python"
        )
