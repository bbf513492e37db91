"""`mopd serve`: one server in the foreground, with the flags that a run's config needs."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import ExitStack
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from transformers import AutoConfig

from mopd_backends.servers.config import EngineConfig
from mopd_backends.servers.managed import ManagedServer, free_port, is_healthy, url_of
from mopd_backends.snapshots import engine_model
from mopd_core.config.compose import RunConfig
from mopd_core.errors import ConfigError, ModelError
from mopd_core.training.components import config_length
from mopd_core.training.models import choose_device, choose_dtype


def serve(config: EngineConfig, run: RunConfig, port: int | None) -> int:
    """Serve the student's model until the server ends, Ctrl-C or SIGTERM; returns its exit code.

    Its URL goes to stdout once it answers, its log to stderr. Raises `GeneratorError` where it does not start, and
    `ConfigError` where it cannot: its engine is not here, or its port is taken.
    """
    config.check_startable()
    model = engine_model(run.model.path, run.model.revision)
    architecture = _architecture(model)
    device = choose_device(run.training)
    dtype = str(choose_dtype(run.training, device)).removeprefix("torch.")
    api = config.server_api(architecture.vocab_size, device.type, dtype)
    port = free_port() if port is None else port
    command = api.command(model, port, min(config_length(architecture), _longest(run)))
    url = url_of(command, port)
    _check_free(url)
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):  # A script's background jobs ignore the first one otherwise.
            stack.callback(signal.signal, number, signal.signal(number, _interrupt))
        server = ManagedServer(command, api.environment(), restarts=0)
        stack.callback(server.stop)
        server.wait_until(lambda: asyncio.run(is_healthy(api, url)), config.max_wait_s)
        print(url, flush=True)
        return server.wait()


def _check_free(url: str) -> None:
    """Raise `ConfigError` where somebody listens there: what answers then would not be the server that was started."""
    parts = urlsplit(url)
    place = parts.hostname, parts.port
    try:
        socket.create_server(place, family=socket.AF_INET6 if ":" in str(parts.hostname) else socket.AF_INET).close()
    except OSError as error:
        raise ConfigError(f"nothing can be served at {url}: {error.strerror}; give another --port, or none") from None


def _architecture(model: str) -> Any:
    """A model's config, of its text. Raises `ModelError` where there is no such model."""
    try:
        return AutoConfig.from_pretrained(model, trust_remote_code=False).get_text_config()
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(
            f"cannot load the config of model {model!r}: {reason}. Give a folder or a Hugging Face name of a causal "
            "language model"
        ) from error


def _longest(run: RunConfig) -> int:
    """The longest prompt and response of a run, in tokens."""
    responses = run.rollout.sampling.max_tokens, run.evaluation.sampling.max_tokens
    return run.rollout.max_prompt_tokens + max(responses)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
