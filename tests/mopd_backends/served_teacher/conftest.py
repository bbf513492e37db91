"""A step to learn from, a teacher that differs from the student, and servers of it: scripted ones, and real engines.

Whole runs are of the bundled default, whose teacher is then the bundled model.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from mopd_backends.served_teacher.config import ServedTeacherConfig
from mopd_backends.served_teacher.teacher import build
from mopd_backends.servers.managed import ManagedServer, free_port, is_healthy
from mopd_backends.sglang.config import SglangConfig
from mopd_backends.vllm.config import VllmConfig
from mopd_core.bundled import MODELS
from mopd_core.config import load
from mopd_core.config.sections import TrainingConfig
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.head import HeadLoss
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.objectives.config import DistillConfig
from mopd_core.objectives.distill import Distill
from mopd_core.output_head import Head
from mopd_core.registry import load_plugins
from mopd_core.teachers.frozen import FrozenTeacher
from mopd_core.testing.tiny import (
    MAX_LENGTH,
    VOCABULARY,
    NumberTokenizer,
    tiny_config,
    tiny_context,
    tiny_student,
)
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.training.batch import build_step
from mopd_core.training.learner import Learner
from mopd_core.training.run import train
from mopd_core.types import Prompt, Rollout, RolloutGroup, Verdict

CONFIGS = {"vllm": VllmConfig(cpu_cache_gib=0.125), "sglang": SglangConfig()}


class Keep(torch.optim.SGD):
    """Keeps the gradients that it is given, and does nothing with them."""

    def step(self, closure=None):
        self.kept = [parameter.grad.clone() for group in self.param_groups for parameter in group["params"]]


class Scripted:
    """A server that answers in both engines' dialects with what a model in this process says.

    fault: `nan`, `cut`, `foreign` or `form` spoil every answer. asked: the questions that scored something.
    max_logprobs: the most likely tokens that vLLM would tell of.
    """

    def __init__(self, model, vocabulary=None, max_logprobs=20):
        self.size, self.max_logprobs = model.config.vocab_size, max_logprobs
        self.vocabulary = vocabulary or self.size
        self.model, self.fault, self.asked, self.delay = model, None, [], threading.Event()
        self.delay.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"scripted": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.lock, self.is_gone = threading.Lock(), False
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @torch.no_grad()
    def log_probs(self, ids):
        with self.lock:
            return self.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)

    def scored(self, ids):
        """log q of every position but the first, [L - 1, V]."""
        self.delay.wait(20)
        table = self.log_probs(ids)[:-1]
        return (
            torch.full_like(table, torch.nan) if self.fault == "nan" else table[:-1] if self.fault == "cut" else table
        )

    def sglang(self, body):
        ids, start = body["input_ids"], body.get("logprob_start_len", 0)
        wanted = body.get("token_ids_logprob", [])
        if any(token >= self.vocabulary for token in wanted):
            return 400, {"error": "token_ids_logprob contains out-of-vocabulary token id"}
        meta = {"weight_version": "default", "finish_reason": {"type": "length", "length": 0}}
        if body["sampling_params"]["max_new_tokens"]:
            return 200, {"meta_info": meta | {"output_token_logprobs": [[-1.0, 3, None]]}}
        self.asked.append(body)
        table = self.scored(ids)[start:]
        rows = range(len(table))
        meta["input_token_logprobs"] = [None, *([table[at, ids[start + at + 1]].item(), 0, None] for at in rows)]
        top = table.topk(body.get("top_logprobs_num", 0))
        shift = self.size if self.fault == "foreign" else 0
        meta["input_top_logprobs"] = [
            None,
            *(
                [[v, i + shift, None] for v, i in zip(*row, strict=True)]
                for row in zip(top.values.tolist(), top.indices.tolist(), strict=True)
            ),
        ]
        meta["input_token_ids_logprobs"] = [
            None,
            *([[table[at, min(token, self.size - 1)].item(), token + shift, None] for token in wanted] for at in rows),
        ]
        if self.fault == "form":
            meta["input_token_logprobs"] = [None, *([] for _ in rows)]
        return 200, {"meta_info": meta}

    def vllm(self, body):
        ids, params = body["token_ids"], body["sampling_params"]
        choice = {"token_ids": [3], "finish_reason": "length", "weight_versions": None}
        choice["logprobs"] = {"content": [{"token_id": 3, "logprob": -1.0}]}
        answer = {"choices": [choice]}
        if "prompt_logprobs" in params:
            if params["prompt_logprobs"] > self.max_logprobs:
                return 400, {"error": {"message": f"which is greater than max allowed: {self.max_logprobs}"}}
            self.asked.append(body)
            entries = []
            for row, token in zip(self.scored(ids), ids[1:], strict=False):
                chosen = {token, *row.topk(params["prompt_logprobs"]).indices.tolist()}
                entries.append({str(one): {"logprob": row[one].item()} for one in chosen})
            answer["prompt_logprobs"] = [None, *([["form"]] * len(entries) if self.fault == "form" else entries)]
        return 200, answer

    def close(self):
        self.is_gone = True
        self.delay.set()
        self.server.shutdown()
        self.server.server_close()


GETS = {
    "/health": {},
    "/health_generate": {},
    "/version": {"version": "0.32.0"},
    "/weight_info": {"weight_version": "default"},
    "/model_info": {"model_path": "scripted", "weight_version": "default"},
    "/server_info": {"version": "0.5.21", "context_length": 2048},
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def parse_request(self):
        return super().parse_request() and not self.scripted.is_gone

    def do_GET(self):
        self.answer(200, GETS[self.path])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/collective_rpc":
            said = {"model": "scripted", "vocabulary": self.scripted.vocabulary, "max_length": 2048}
            self.answer(200, {"results": [said | {"logprobs_mode": "processed_logprobs"}]})
        else:
            self.answer(*(self.scripted.sglang if self.path == "/generate" else self.scripted.vllm)(body))

    def answer(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def teacher_model():
    """The frozen model, in plain transformers; nothing ends its responses."""
    model = tiny_student(tiny_config(eos_token_id=None), seed=5).requires_grad_(False)
    model.set_attn_implementation("sdpa")
    return model


@pytest.fixture
def scripted(teacher_model):
    """Starts scripted servers of the teacher; they are gone when the test ends."""
    started = []

    def start(model=teacher_model, **options):
        started.append(Scripted(model, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="session", params=["sglang", "vllm"])
def real(request, teacher_model, tmp_path_factory):
    """(engine, URL) of a real server of the teacher."""
    engine = request.param
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed in this environment")
    folder = tmp_path_factory.mktemp(engine)
    teacher_model.save_pretrained(folder / "model")
    api = CONFIGS[engine].server_api(VOCABULARY, "cpu", "float32")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = ManagedServer(api.command(str(folder / "model"), port, MAX_LENGTH), api.environment(), folder / "log")
    try:
        process.wait_until(lambda: asyncio.run(is_healthy(api, url)), longest_s=400)
        yield engine, url
    finally:
        process.stop()


@pytest.fixture(scope="session")
def bundled_model():
    """The bundled model, in plain transformers."""
    return AutoModelForCausalLM.from_pretrained(MODELS["bundled"]).requires_grad_(False)


RUN = (
    "training.steps=2",
    "training.warmup_steps=0",
    "training.device=cpu",
    "training.micro_batch_tokens=1000",
    "rollout.prompts=2",
    "rollout.group_size=4",
    "data.train=20",
    "data.held_out=2",
    "evaluation.samples=1",
    "verifier.workers=1",
)


def children():
    """The processes that this one has started and that are still there."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@pytest.fixture(scope="session")
def composed():
    """What is installed, and the config that it makes, which takes as long as a run does."""
    registries = load_plugins()
    return registries, load.compose(registries)


@pytest.fixture
def load_run(composed, monkeypatch):
    """Loads the bundled default's config with options."""
    registries, run_type = composed
    monkeypatch.setattr(load, "compose", lambda registries: run_type)
    return lambda *options: load.load_config(None, registries, options=options)


@pytest.fixture
def two_steps(composed, load_run, tmp_path):
    """Runs `train` for two steps; returns the metrics of both, once nothing that was started for them is left."""
    number = count()

    def run(*options):
        folder, before = tmp_path / f"run-{next(number)}", children()
        config = load_run(*RUN, *options)
        try:
            train(config, composed[0], folder, console=Console(quiet=True))
        finally:
            assert children() <= before
        return RunFolder.open(folder).read_metrics()

    return run


@pytest.fixture
def assert_served_as_frozen(two_steps):
    """Two steps with a server of the bundled model as their teacher are those with the frozen model, to 1e-3."""

    def check(engine, url, *options):
        served = two_steps("teacher=served", f"teacher.engine={engine}", f"teacher.urls=[{url}]", *options)
        frozen = two_steps("teacher=frozen", *options)
        for found, expected in zip(served, frozen, strict=True):
            assert expected["teacher/divergence"] > 1e-3
            for name in ("teacher/divergence", "teacher/gain", "train/loss", "train/grad_norm"):
                assert found[name] == pytest.approx(expected[name], rel=1e-3), name

    return check


@pytest.fixture
def new_teacher():
    """Builds served teachers for a student; they are closed when the test ends."""
    built = []

    def new(engine, *urls, student=None, **options):
        config = ServedTeacherConfig(
            engine=engine, urls=urls, **{"max_wait_s": 20.0, "request_timeout_s": 60.0} | options
        )
        built.append(build(config, tiny_context(student or tiny_student())))
        return built[-1]

    yield new
    for teacher in built:
        teacher.close()


@pytest.fixture(scope="session")
def step():
    """Two groups of three rollouts; two of the first differ in their last token alone, and one ends within another."""
    draw = np.random.default_rng(4)

    def ids(size):
        return draw.integers(2, VOCABULARY, size).astype(np.int32)

    long = ids(24)
    responses = (
        [long, np.concatenate([long[:-1], [long[-1] ^ 1]]).astype(np.int32), long[:20]],
        [ids(7), ids(1), ids(12)],
    )
    groups, shown = [], []
    for number, of_group in enumerate(responses):
        prompt = Prompt(str(number), (), token_ids=ids(9 + number))
        rollouts = tuple(
            Rollout(
                token_ids=response,
                logprobs=np.full(len(response), -1.0, np.float32),
                text="",
                finish_reason="length",
                version=0,
                own=np.ones(len(response), np.bool_),
            )
            for response in of_group
        )
        groups.append(RolloutGroup(prompt, rollouts, tuple(Verdict(status="failed", reward=0.0) for _ in rollouts)))
        context = ids(30)
        shown.append([context, context, None if number else context])
    return build_step(groups, shown)


@pytest.fixture(scope="session")
def learn(step):
    """The update that a student gets from a teacher, and its gradients."""

    def run(teacher, estimator="full", chunk=7, micro_batch_tokens=200, **outcomes):
        student = tiny_student()
        loss = HeadLoss(Head(student), JSD(0.5), Outcomes(DivergenceConfig(**outcomes)), 1.0, chunk)
        config = TrainingConfig(micro_batch_tokens=micro_batch_tokens, max_grad_norm=1e9)
        optimiser = Keep(student.parameters(), 0.1)
        objective = Distill(DistillConfig(estimator=estimator), NumberTokenizer())
        cpu = torch.device("cpu")
        learner = Learner(student, teacher, objective, loss, optimiser, config, cpu, torch.float32)
        return learner.learn(step, 0.1), optimiser.kept

    return run


@pytest.fixture(scope="session")
def frozen():
    """The same teacher in this process."""
    return FrozenTeacher(tiny_student(tiny_config(eos_token_id=None), seed=5).requires_grad_(False))


@pytest.fixture(scope="session")
def assert_same():
    """Two updates and their gradients agree to 1e-4, relative to the largest."""

    def check(found, expected):
        (update, gradients), (other_update, other_gradients) = found, expected
        assert update.metrics["train/loss"] == pytest.approx(other_update.metrics["train/loss"], rel=1e-4)
        for name, values in update.values.items():
            torch.testing.assert_close(values, other_update.values[name], rtol=1e-4, atol=1e-4, equal_nan=True)
        for one, other in zip(gradients, other_gradients, strict=True):
            assert other.abs().max() > 0
            assert (one - other).abs().max() <= 1e-4 * other.abs().max()

    return check
