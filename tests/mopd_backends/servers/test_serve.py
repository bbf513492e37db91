"""`mopd serve`: a server in the foreground."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

from cli import app
from mopd_backends.servers.config import EngineConfig
from mopd_backends.servers.serve import serve
from mopd_core.config.load import load_config
from mopd_core.errors import ConfigError
from mopd_core.registry import load_plugins

PROGRAM = Path(__file__).with_name("serve_program.py")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_it_prints_its_url_passes_the_log_on_and_leaves_nothing(fakes, monkeypatch, ending: signal.Signals):
    mark = uuid4().hex
    monkeypatch.setenv("MARK", mark)
    serving = subprocess.Popen(
        [sys.executable, str(PROGRAM), "{}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a script's background job has it
    )
    assert serving.stdout is not None
    url = serving.stdout.readline().decode().strip()
    assert httpx.get(f"{url}/info", trust_env=False).json()["model"] == "fake"
    serving.send_signal(ending)
    out, log = serving.communicate(timeout=20)
    assert (serving.returncode, out) == (130, b"")
    assert log.startswith(b"fake engine")
    assert fakes.processes_marked(mark) == []


def test_a_generator_without_servers_is_a_usage_error():
    result = CliRunner().invoke(app, ["serve", "--generator", "hf"])
    assert result.exit_code == 2
    assert "generator 'hf' has no servers" in result.output


class Refusing(Exception):
    """What stands for a server that is about to be started."""


@pytest.fixture
def serve_here(fakes, monkeypatch):
    """Serves a config's model up to where a server would be started; returns how long its sequences may be."""

    class FakeConfig(EngineConfig):
        def server_api(self, vocabulary, device, dtype):
            api = fakes.FakeApi()
            monkeypatch.setattr(api, "command", lambda model, port, longest: [str(longest), *self.engine_args])
            return api

    def start(command, *rest, **options):
        raise Refusing(command[0])

    monkeypatch.setattr("mopd_backends.servers.serve.ManagedServer", start)

    def begin(*options, port=None, engine_args=()):
        run = load_config(None, load_plugins(), options=["training.device=cpu", *options])
        with pytest.raises(Refusing) as refused:
            serve(FakeConfig(engine_args=engine_args), run, port)
        return int(str(refused.value))

    return begin


def test_a_port_that_is_taken_is_refused(serve_here):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}: Address already in use.*; give another --port"):
            serve_here(port=port)
        with pytest.raises(ConfigError, match=f"localhost:{port}"):
            serve_here(engine_args=("--host", "localhost", f"--port={port}"))


def test_sequences_are_as_long_as_the_run_wants_and_no_longer_than_the_model_takes(serve_here):
    assert serve_here("rollout.max_prompt_tokens=100", "rollout.sampling.max_tokens=20") < 2048
    assert serve_here("rollout.max_prompt_tokens=5000") == 2048


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "needs .* is not installed here.*generator\\.python"),
        (("-o", "generator.python=/nowhere/python"), "generator\\.python is '/nowhere/python', which is no program"),
    ],
    ids=["engine", "interpreter"],
)
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_what_cannot_be_started_here_is_a_usage_error(monkeypatch, engine, options, said):
    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("mopd_backends.vllm.version.version", nothing)
    monkeypatch.setattr("mopd_backends.sglang.version.installed_version", nothing)
    result = CliRunner().invoke(app, ["serve", "--generator", engine, *options])
    assert result.exit_code == 2
    assert re.search(said, " ".join(result.output.replace("error: ", "").split()))
