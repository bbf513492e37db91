"""Tiny models of several families in float64, steps to train them on, and whole runs whose rollouts are scripted."""

from __future__ import annotations

import io
import json
import types
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import Gemma3TextConfig, LlamaConfig, MistralConfig

from mopd_core.config import load
from mopd_core.config.base import PluginConfig
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.errors import MopdError
from mopd_core.hookspecs import hookimpl
from mopd_core.registry import load_plugins
from mopd_core.testing.tiny import VOCABULARY, tiny_config, tiny_student
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.training.batch import build_step
from mopd_core.training.run import train
from mopd_core.types import Message, Prompt, Rollout, RolloutGroup, Verdict

WINDOW = 6
CONFIGS = {
    "qwen3": lambda: tiny_config(),
    "llama-untied": lambda: tiny_config(LlamaConfig, tie_word_embeddings=False, num_key_value_heads=1),
    "mistral-window": lambda: tiny_config(MistralConfig, sliding_window=WINDOW),
    "gemma3-mixed": lambda: tiny_config(
        Gemma3TextConfig, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"]
    ),
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


def _norm(self, hidden):
    gain = 1 + self.weight if type(self).__name__.startswith("Gemma") else self.weight
    eps = self.eps if hasattr(self, "eps") else self.variance_epsilon
    return gain * hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + eps)


def exact(model):
    """The model in float64 throughout: the families' norms go through fp32, whatever they are given."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = types.MethodType(_norm, module)
    return model.double()


@pytest.fixture(scope="session")
def make_exact():
    """Makes the float64 model of a family, its weights drawn from a seed."""
    return lambda family="qwen3", seed=0: exact(tiny_student(CONFIGS[family](), seed))


@pytest.fixture(params=CONFIGS)
def family(request):
    return request.param


@pytest.fixture
def model(make_exact, family):
    return make_exact(family)


@pytest.fixture(scope="session")
def plain():
    """Runs a model as transformers does, one sequence at a time: final hidden states [S, D], or logits [S, V]."""

    def run(model, ids, what="hidden", implementation="sdpa"):
        model.set_attn_implementation(implementation)
        try:
            inputs = torch.as_tensor(np.asarray(ids)).long()[None]
            if what == "logits":
                return model(inputs, use_cache=False).logits[0]
            return model.get_decoder()(inputs, use_cache=False).last_hidden_state[0]
        finally:
            model.set_attn_implementation("mopd_flat")

    return run


@pytest.fixture(scope="session")
def draw_ids():
    """Makes [n] random ids."""
    return lambda n, seed=0: np.random.default_rng(seed).integers(2, VOCABULARY, n).astype(np.int32)


@pytest.fixture(scope="session")
def make_rollout():
    def make(ids, finish_reason="stop", own=None, logprobs=None):
        ids = np.asarray(ids, dtype=np.int32)
        n = len(ids)
        return Rollout(
            ids,
            np.full(n, -2.0, np.float32) if logprobs is None else np.asarray(logprobs, np.float32),
            " ".join(map(str, ids)),
            finish_reason,
            0,
            np.ones(n, np.bool_) if own is None else np.asarray(own, np.bool_),
        )

    return make


@pytest.fixture(scope="session")
def make_step(draw_ids, make_rollout):
    """A step of 3 prompts and 10 rollouts: odd lengths, foreign tokens, an unknown one, targets without a context.

    seed: of the ids. order: of the groups. context: tokens that a teacher's prompt has more than its student's.
    """
    lengths = ((20, (5, 1, 9, 12)), (7, (3, 8, 2)), (26, (6, 6, 11)))
    verdicts = (Verdict(1.0, "passed"), Verdict(0.0, "failed"), Verdict(0.0, "unknown"), Verdict(0.5, "failed"))

    def make(seed=0, order=(0, 1, 2), context=18):
        groups, prompts = [], []
        for number in order:
            n_prompt, responses = lengths[number]
            prompt = Prompt(f"prompt-{number}", (), token_ids=draw_ids(n_prompt, 100 * seed + number))
            rollouts = []
            for index, n in enumerate(responses):
                rng = np.random.default_rng((seed, number, index))
                own = None if index != 3 and n != 8 else rng.random(n) > 0.4
                rollouts.append(make_rollout(draw_ids(n, 999 * seed + 10 * number + index), own=own))
                rollouts[-1] = replace(rollouts[-1], logprobs=rng.uniform(-3, -1, n).astype(np.float32))
            groups.append(RolloutGroup(prompt, tuple(rollouts), verdicts[: len(rollouts)]))
            shown = np.concatenate([draw_ids(context, 7 * number), prompt.token_ids])
            prompts.append([None if (number + index) % 4 == 3 else shown for index in range(len(rollouts))])
        return groups, prompts, build_step(groups, prompts)

    return make


class ScriptConfig(PluginConfig):
    """What a test scripts."""


class ScriptedDivergenceConfig(DivergenceConfig):
    """What a test scripts, on the outcomes chosen here."""


class Script:
    """What a run meets: prompts, answers and verdicts that a test writes, and a record of what was asked.

    answer(prompt_id, index, version): the text of rollout `index`, by the weights' version. It passes if it starts with
    `right`, is *unknown* if it starts with `unknown`, and else fails. on_step(step): called when a step is recorded.
    missing: rollouts that each group of the generator lacks. stream(rollouts): what the generator streams of all of
    them, as (p, g, rollout); where it is None, the generator has no `stream`. caveats: of verdicts that passed.
    bad_steps: where the scripted divergence is not a number.
    """

    def __init__(self):
        self.train = 4
        self.held_out = 2
        self.answer = lambda prompt_id, index, version: "right 1" if index % 2 else "wrong 2"
        self.on_step = lambda step: None
        self.bad_steps = ()
        self.missing = 0
        self.stream = None
        self.caveats = ()
        self.step = 1
        self.synced = []
        self.generated = []
        self.closed = []
        self.records = []

    def prompts(self, name, n):
        return [
            Prompt(f"{name}-{number}", (Message(role="user", content=f"{name} {number}"),), reference="1")
            for number in range(n)
        ]

    def load(self):
        return SimpleNamespace(
            train=self.prompts("train", self.train), held_out=self.prompts("held-out", self.held_out)
        )

    def verify(self, items):
        return [self.judge(item.response) for item in items]

    def judge(self, text):
        if text.startswith("right"):
            return Verdict(1.0, "passed", caveats=self.caveats)
        return Verdict(0.0, "unknown" if text.startswith("unknown") else "failed")

    @hookimpl
    def mopd_step_finished(self, step):
        self.records.append(step)
        self.step = step.step + 1
        self.on_step(step.step)

    def divergence(self, log_p, log_q):
        value = ReverseKL()(log_p, log_q)
        return value * float("nan") if self.step in self.bad_steps else value


class ScriptedGenerator:
    def __init__(self, script, tokenizer):
        self.script, self.tokenizer, self.version = script, tokenizer, 0

    def generate(self, prompts, sampling, *, seeds):
        self.script.generated.append([prompt.id for prompt in prompts])
        return [
            [self.rollout(prompt, index) for index in range(len(of_prompt) - self.script.missing)]
            for prompt, of_prompt in zip(prompts, seeds, strict=True)
        ]

    def __getattr__(self, name):
        if name == "stream" and self.script.stream is not None:
            return self.streamed
        raise AttributeError(name)

    def streamed(self, prompts, sampling, *, seeds):
        groups = self.generate(prompts, sampling, seeds=seeds)
        yield from self.script.stream([(p, g, each) for p, group in enumerate(groups) for g, each in enumerate(group)])

    def rollout(self, prompt, index):
        text = self.script.answer(prompt.id, index, self.version)
        ids = np.asarray([*self.tokenizer.encode(text), self.tokenizer.eos_token_id], dtype=np.int32)
        n = len(ids)
        return Rollout(ids, np.full(n, -1, np.float32), text, "stop", self.version, np.ones(n, np.bool_))

    def sync_weights(self, weights, version):
        self.version = version
        self.script.synced.append(version)

    def close(self):
        self.script.closed.append("generator")


@pytest.fixture(scope="session")
def registries():
    """What is installed, and one more plugin of every kind that a run meets, which does what `Script.now` says."""
    registries = load_plugins()
    registries["generators"].add("scripted", ScriptConfig, lambda _, c: ScriptedGenerator(Script.now, c.tokenizer))
    registries["verifiers"].add("scripted", ScriptConfig, lambda config, context: Script.now)
    registries["datasets"].add("scripted", ScriptConfig, lambda config, context: Script.now)
    registries["divergences"].add("scripted", ScriptedDivergenceConfig, lambda config, context: Script.now.divergence)
    return registries


@pytest.fixture(scope="session")
def composed(registries):
    """`compose` takes as long as a scripted run does."""
    return load.compose(registries)


@pytest.fixture
def script(registries):
    Script.now = Script()
    registries.manager.register(Script.now)
    yield Script.now
    registries.manager.unregister(Script.now)


OPTIONS = (
    "training.steps=4",
    "training.warmup_steps=0",
    "training.lr=1e-3",
    "rollout.prompts=2",
    "rollout.group_size=4",
    "evaluation.every=0",
    "evaluation.samples=4",
    "rollout.sampling.max_tokens=24",
    "evaluation.sampling.max_tokens=24",
)


@pytest.fixture
def train_scripted(script, registries, composed, tmp_path, monkeypatch):
    """Runs `train` on the script; returns the summary, the run's folder, and what was said."""

    monkeypatch.setattr(load, "compose", lambda registries: composed)

    def run(*options, folder="run", resume=False, **choices):
        names = dict.fromkeys(("generator", "verifier", "data", "divergence"), "scripted") | choices
        config = load.load_config(None, registries, choices=names, options=[*OPTIONS, *options])
        said = io.StringIO()
        path = tmp_path / folder
        try:
            summary = train(config, registries, path, resume=resume, console=Console(file=said, width=500))
        except MopdError as error:
            error.said = said.getvalue()
            raise
        return SimpleNamespace(summary=summary, folder=RunFolder.open(path), said=said.getvalue())

    return run


@pytest.fixture
def outcome_of(tmp_path):
    """All that a run leaves behind, without times: metrics, summary, rollouts, and the last checkpoint's bytes."""

    def read(name):
        folder = RunFolder.open(tmp_path / name)
        last = (folder.checkpoints_path / "last").resolve()
        state = json.loads((last / "trainer/state.json").read_text())
        files = {str(path.relative_to(last)): path for path in last.rglob("*") if path.is_file()}
        exact = {name: path.read_bytes() for name, path in files.items() if path.suffix in (".safetensors", ".pt")}
        return {
            "metrics": [{k: v for k, v in line.items() if not k.startswith("time/")} for line in folder.read_metrics()],
            "summary": {k: v for k, v in folder.read_summary().items() if k != "seconds"},
            "rollouts": {step: folder.read_rollouts(step) for step in folder.rollout_steps()},
            "state": {k: v for k, v in state.items() if k != "seconds"},
            "weights": exact,
        }

    return read
