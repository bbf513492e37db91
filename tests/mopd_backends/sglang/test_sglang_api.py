"""SGLang's HTTP interface against scripted servers, its command line, and which SGLang is taken; no engine needed."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from mopd_backends.sglang.api import SglangApi
from mopd_backends.sglang.config import SglangConfig
from mopd_backends.sglang.flags import CUT_MARGIN
from mopd_backends.sglang.version import check_version
from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.types import Sampling

SERVER = {"version": "0.5.21", "context_length": 100 + CUT_MARGIN}
MODEL = {"model_path": "tiny", "weight_version": "3"}


def api(device="cpu", **options):
    return SglangApi(SglangConfig(**options), vocabulary=10, device=device, dtype="float32")


def ask(question, answers):
    """What a method of the api makes of scripted answers: {path: (status, content)}; and the requests that it sent."""
    sent = []

    def reply(request):
        sent.append(request)
        status, content = answers[request.url.path]
        return (
            httpx.Response(status, json=content)
            if not isinstance(content, str)
            else httpx.Response(status, text=content)
        )

    async def talk():
        async with httpx.AsyncClient(base_url="http://server", transport=httpx.MockTransport(reply)) as client:
            return await question(client)

    return asyncio.run(talk()), sent


def test_a_server_says_its_model_context_and_version():
    info, _ = ask(api().info, {"/model_info": (200, MODEL), "/server_info": (200, SERVER)})
    assert (info.model, info.vocabulary, info.max_length, info.version) == ("tiny", None, 100, 3)


def test_a_server_of_another_version_is_refused():
    with pytest.raises(ConfigError, match=r"0\.4\.0.*0\.5\.21"):
        ask(api().info, {"/model_info": (200, MODEL), "/server_info": (200, SERVER | {"version": "0.4.0"})})


def test_a_server_that_ignores_seeds_is_refused_where_they_count():
    answers = {"/model_info": (200, MODEL), "/server_info": (200, SERVER | {"enable_deterministic_inference": False})}
    with pytest.raises(ConfigError, match="--enable-deterministic-inference"):
        ask(api(deterministic=True).info, answers)
    ask(api().info, answers)
    ask(
        api(deterministic=True).info,
        answers | {"/server_info": (200, SERVER | {"enable_deterministic_inference": True})},
    )


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_is_that_of_sampling(status, healthy):
    assert ask(api().healthy, {"/health_generate": (status, "")})[0] is healthy


@pytest.mark.parametrize("content", ["<html>", [1]], ids=["page", "list"])
def test_an_answer_without_an_object_is_an_error(content):
    with pytest.raises(GeneratorError, match="no JSON object"):
        ask(lambda client: api().sample(client, [1], Sampling(3), 0), {"/generate": (200, content)})


def test_a_refused_request_is_left_to_the_caller():
    with pytest.raises(httpx.HTTPStatusError):
        ask(lambda client: api().score(client, [1, 2]), {"/generate": (500, "broken")})


def test_weights_are_loaded_from_a_folder_with_their_version():
    _, (request,) = ask(
        lambda client: api().load_weights(client, Path("/weights"), 4),
        {"/update_weights_from_disk": (200, {"success": True})},
    )
    assert json.loads(request.read()) == {"model_path": "/weights", "weight_version": "4", "flush_cache": True}


def test_weights_that_a_server_does_not_take_are_an_error_with_its_reason():
    with pytest.raises(GeneratorError, match="no such folder"):
        ask(
            lambda client: api().load_weights(client, Path("/weights"), 4),
            {"/update_weights_from_disk": (400, {"success": False, "message": "no such folder"})},
        )


def test_the_command_line_serves_a_model_on_the_loopback_interface():
    command = api(engine_args=("--tp-size", "2")).command("folder", 4321, 100)
    assert command[:3] == [sys.executable, "-m", "sglang.launch_server"]
    pairs = dict(pairwise(command))
    assert (pairs["--model-path"], pairs["--host"], pairs["--port"]) == ("folder", "127.0.0.1", "4321")
    assert (pairs["--context-length"], pairs["--weight-version"]) == (str(100 + CUT_MARGIN), "0")
    assert command[-2:] == ["--tp-size", "2"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("deterministic", [False, True], ids=["fast", "deterministic"])
def test_flags_follow_device_and_options(device, deterministic):
    command = api(device, deterministic=deterministic, python=Path("/other/python")).command("folder", 4321, 100)
    assert command[0] == "/other/python"
    assert ("torch_native" in command) == (device == "cpu")
    assert ("--enable-deterministic-inference" in command) == deterministic
    assert "--sleep-on-idle" in command
    assert ("SGLANG_USE_CPU_ENGINE" in api(device).environment()) == (device == "cpu")


@pytest.mark.parametrize("version", ["0.5.20", "0.5.22", "0.6"])
def test_versions_that_were_not_tested_are_refused(version):
    with pytest.raises(ConfigError, match=r"supported is.*0\.5\.21"):
        check_version(version, "this environment")


def test_the_tested_version_is_taken():
    check_version("0.5.21", "this environment")
