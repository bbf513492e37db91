"""Whole optimiser steps beside TRL's `SDPOTrainer`: same model, prompts, groups, context, divergence and teacher.

Each side is its own trainer in a process of its own: ours `mopd_core.training.run.train` with the selector
`first-success`, theirs `trl.experimental.sdpo.SDPOTrainer.train`. The processes take turns, a step each, so that only
one computes at a time; tables hold medians after the warm-up. Once with rollouts (sampling and judging included), once
without: both then get the same recorded rollouts and rewards instead. Peak memory is that of a side's whole process.

Both train on full-vocabulary jsd in fp32 with an EMA teacher of rate 0.05, AdamW and clipping at norm 1, show the
teacher the group's first other success in the same words, mask targets that have none, judge with our verifier `math`,
and keep no logs, rollouts or checkpoints. That the work is equal is checked on the first recorded step, where weights
are the same too: tokens sampled, trained on and shown to the teacher, and the loss.

TRL runs as was fastest for it on a CPU: SDPA, no gradient checkpointing, the whole step in one micro-batch; with
`--trl-rows` rows in each it takes less memory and more time. What differs: the loss that TRL minimises is the mean over
all rows of each row's mean, and ours the mean over trained tokens; TRL logs that one as well, and it is what is
compared. TRL passes masked targets through both models and leaves them out of the loss only. With rollouts each side
samples its own, so that rates are compared; a learning rate of 1e-6 keeps both models, and so the lengths of their
rollouts, where they began. How many of those tokens are trained on is then a matter of luck, which costs ours alone any
time, so that the rate of trained tokens stands beside that of all.

    python benchmarks/step.py [--threads 1] [--repeats 9]          needs `pip install trl`

The last line is JSON: {"step.speedup_with_rollouts" and "step.speedup_without_rollouts": response tokens a second of
ours over TRL's, "step.memory_ratio": our peak over TRL's, ...}.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from mopd_core.bundled import model_path
from mopd_core.config.base import PluginConfig
from mopd_core.config.compose import RunConfig
from mopd_core.config.load import load_config, load_verifier
from mopd_core.contexts import RunContext
from mopd_core.data.order import prompts_for_step
from mopd_core.hookspecs import hookimpl
from mopd_core.interfaces import WeightSource
from mopd_core.peers.context import ContextConfig
from mopd_core.registry import Registries, Registry, load_plugins
from mopd_core.training import rollouts as stage
from mopd_core.training.components import build_inference
from mopd_core.training.models import load_tokenizer
from mopd_core.training.run import train
from mopd_core.types import Prompt, Rollout, RolloutGroup, Sampling, StepRecord, Verdict, VerifyItem

MAX_LOSS_ERROR = 1e-4
"""Of the loss itself."""

SEED = 0
LR = 1e-6

SideName = Literal["mopd", "trl"]
SIDES: tuple[SideName, SideName] = ("mopd", "trl")


@dataclass(frozen=True, slots=True)
class Work:
    """What both sides do. recorded: replay rollouts instead of sampling. trl_rows: rows of a micro-batch of TRL."""

    threads: int
    prompts: int
    group: int
    steps: int
    trl_rows: int
    recorded: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a side: response tokens sampled and trained on, tokens of context shown on average to a teacher that
    is shown any, the loss in nats a token, and the process's peak memory so far.
    """

    duration_s: float
    sampled: int
    trained: int
    context: float
    loss: float
    peak_mib: float

    @property
    def tokens_a_second(self) -> float:
        """Of all responses, also those that are masked."""
        return self.sampled / self.duration_s


def config_of(work: Work, registries: Registries) -> RunConfig:
    """The bundled recipe with nothing kept of the run, and no end within the turns."""
    choices = {"selector": "first-success"}
    if work.recorded:
        choices |= {"generator": "recorded", "verifier": "recorded"}
    options = {
        "seed": SEED,
        "data.train": max(256, work.steps * work.prompts),
        "data.held_out": 0,
        "rollout.prompts": work.prompts,
        "rollout.group_size": work.group,
        "training.threads": work.threads,
        "training.device": "cpu",
        "training.steps": 10**6,
        "training.save_every": 10**6,
        "training.lr": LR,
        "training.warmup_steps": 0,
        "evaluation.every": 0,
        "tracking.rollouts_every": 0,
    }
    texts = [f"{path}={value}" for path, value in options.items()]
    return load_config(None, registries, choices=choices, options=texts)


def record(work: Work) -> list[RolloutGroup]:
    """Sample and judge all steps' groups with the initial weights."""
    registries = load_plugins()
    config = config_of(work, registries)
    groups = []
    with ExitStack() as stack:
        parts = build_inference(config, registries, None, stack)
        for step in range(1, work.steps + 1):
            rows = prompts_for_step(len(parts.data.train), work.prompts, step, SEED)
            prompts = [parts.data.train[row] for row in rows]
            seeds = stage.training_seeds(prompts, work.group, SEED, step)
            pending = stage.sample(
                parts.generator,
                config.generator.name,
                prompts,
                parts.sampling,
                seeds,
                parts.scheduler,
                parts.evaluator.vocabulary,
            )
            groups += pending.groups(config.rollout.success_threshold)
    return groups


class Turns:
    """A child's end of taking turns: waits for its turn, times what it does with it, and hands over the figures."""

    def __init__(self, channel: TextIO) -> None:
        self.channel = channel
        self.started = 0.0

    def wait(self) -> None:
        """Block until it is this side's turn; the process ends where there is no further one."""
        if not sys.stdin.readline():
            raise SystemExit
        self.started = time.perf_counter()

    def finish(self, sampled: float, trained: float, context: float, loss: float) -> None:
        """Report a step, and wait for the next turn."""
        duration_s = time.perf_counter() - self.started
        step = Step(duration_s, round(sampled), round(trained), context, loss, peak_mib())
        print(json.dumps(asdict(step)), file=self.channel, flush=True)
        self.wait()


def peak_mib() -> float:
    """The most memory that this process has had resident, in MiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


class Recorded:
    """Generator and verifier that answer from a recording."""

    def __init__(self, groups: Sequence[RolloutGroup]) -> None:
        self.rollouts = {group.prompt.id: list(group.rollouts) for group in groups}
        self.verdicts = {
            (group.prompt.id, rollout.text): verdict
            for group in groups
            for rollout, verdict in zip(group.rollouts, group.verdicts, strict=True)
        }

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> list[list[Rollout]]:
        return [self.rollouts[prompt.id] for prompt in prompts]

    def sync_weights(self, weights: WeightSource, version: int) -> None: ...

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        return [self.verdicts[item.prompt_id, item.response] for item in items]

    def close(self) -> None: ...


class RecordedConfig(PluginConfig):
    """A recording."""


class OurTurns:
    """The plugin that watches our run, and offers the recording to it."""

    def __init__(self, turns: Turns, recorded: Recorded) -> None:
        self.turns = turns
        self.recorded = recorded

    @hookimpl
    def mopd_register_generators(self, registry: Registry[Any, Any]) -> None:
        registry.add("recorded", RecordedConfig, lambda config, context: self.recorded)

    @hookimpl
    def mopd_register_verifiers(self, registry: Registry[Any, Any]) -> None:
        registry.add("recorded", RecordedConfig, lambda config, context: self.recorded)

    @hookimpl
    def mopd_run_started(self) -> None:
        self.turns.wait()

    @hookimpl
    def mopd_step_finished(self, step: StepRecord) -> None:
        metrics = step.metrics
        sampled = metrics["time/tokens_per_s"] * metrics["time/step_s"]
        loss = metrics.get("train/loss", 0.0)
        self.turns.finish(sampled, metrics["train/tokens"], metrics.get("context/tokens", 0.0), loss)


def run_ours(work: Work, groups: Sequence[RolloutGroup], turns: Turns) -> None:
    """Our trainer, until there are no more turns."""
    registries = load_plugins()
    plugin = OurTurns(turns, Recorded(groups))
    registries.manager.register(plugin)
    plugin.mopd_register_generators(registries["generators"])
    plugin.mopd_register_verifiers(registries["verifiers"])
    with tempfile.TemporaryDirectory() as folder:
        train(config_of(work, registries), registries, Path(folder) / "run", console=Console(quiet=True))


class TrlTurns:
    """Watches TRL's run: which tokens it trains on, and the token mean of its loss that it logs."""

    def __init__(self, turns: Turns, metrics: Mapping[str, Mapping[str, list[float]]], micro_batches: int) -> None:
        self.turns = turns
        self.micro_batches = micro_batches
        self.metrics = metrics
        self.sampled = self.context = 0.0
        self.trained = torch.zeros(0)

    def on_train_begin(self, *_: Any, **others: Any) -> None:
        self.turns.wait()

    def on_self_distillation_batch_prepared(
        self,
        *_: Any,
        prompt_ids: torch.Tensor,
        completion_ids: torch.Tensor,
        teacher_attention_mask: torch.Tensor,
        self_distillation_mask: torch.Tensor,
        **others: Any,
    ) -> None:
        responses = teacher_attention_mask[:, -completion_ids.shape[1] :].sum(-1)
        shown = self_distillation_mask.bool()
        padding = others["processing_class"].pad_token_id
        contexts = teacher_attention_mask.sum(-1) - responses - (prompt_ids != padding).sum(-1)
        self.sampled, self.trained = float(responses.sum()), responses * shown
        self.context = float(contexts[shown].sum()) / max(int(shown.sum()), 1)

    def on_step_end(self, *_: Any, **others: Any) -> None:
        tokens = self.trained.reshape(self.micro_batches, -1).sum(-1).double()
        losses = self.metrics["train"]["self_distillation/distillation_loss"][-self.micro_batches :]
        loss = float(tokens @ torch.tensor(losses, dtype=torch.float64) / tokens.sum().clamp(min=1))
        self.turns.finish(self.sampled, float(tokens.sum()), self.context, loss)


def run_trl(work: Work, groups: Sequence[RolloutGroup], turns: Turns) -> None:
    """TRL's trainer, until there are no more turns."""
    from datasets import Dataset  # Here, because only TRL needs it, and it takes 80 MiB.
    from transformers import TrainerCallback

    sdpo = import_module("trl.experimental.sdpo")
    registries = load_plugins()
    tokenizer = load_tokenizer(load_config(None, registries).model)
    model = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32, attn_implementation="sdpa")
    by_prompt = {tuple(group.prompt.token_ids.tolist()): group for group in groups}
    verifier = Recorded(groups) if work.recorded else _math_verifier(registries)

    def reward(completions: list[Any], prompt_id: list[str], reference: list[str], **others: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        items = [VerifyItem(text, ref, key) for text, ref, key in zip(texts, reference, prompt_id, strict=True)]
        return [verdict.reward for verdict in verifier.verify(items)]

    class Watcher(TrlTurns, TrainerCallback):  # type: ignore[misc]
        """As a callback."""

    class ReplayingTrainer(sdpo.SDPOTrainer):  # type: ignore[name-defined,misc]
        """Takes recorded rollouts; all else is TRL's."""

        def _generate(self, prompt_ids: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
            rollouts = [
                rollout.token_ids.tolist()
                for ids in prompt_ids[:: work.group]
                for rollout in by_prompt[tuple(ids)].rollouts
            ]
            return prompt_ids, rollouts

    rows = [
        {"prompt": list(group.prompt.messages), "prompt_id": group.prompt.id, "reference": group.prompt.reference}
        for group in groups
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = (ReplayingTrainer if work.recorded else sdpo.SDPOTrainer)(
            model=model,
            reward_funcs=reward,
            args=_trl_arguments(sdpo, work, folder),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        trainer.add_callback(Watcher(turns, trainer._metrics, work.prompts * work.group // work.trl_rows))
        trainer.train()


def _math_verifier(registries: Registries) -> Any:
    choice = load_verifier("math", registries)
    return registries["verifiers"].build(choice, RunContext(SEED, registries, None))


def _trl_arguments(sdpo: Any, work: Work, folder: str) -> Any:
    wording = ContextConfig()
    rows = work.prompts * work.group
    return sdpo.SDPOConfig(
        output_dir=folder,
        per_device_train_batch_size=work.trl_rows,
        gradient_accumulation_steps=rows // work.trl_rows,
        num_generations=work.group,
        max_steps=10**6,
        max_prompt_length=None,
        max_completion_length=64,
        temperature=1.0,
        distillation_mode="full_logits",
        distillation_alpha=0.5,
        distillation_is_clip=None,
        teacher_model_kind="ema",
        teacher_update_rate=0.05,
        solution_template="\n\n" + wording.success.format(text="{successful_previous_attempt}"),
        reprompt_template="{prompt}{solution}{feedback}\n\n" + wording.instruction,
        learning_rate=LR,
        lr_scheduler_type="constant",
        weight_decay=0.01,
        max_grad_norm=1.0,
        shuffle_dataset=False,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        seed=SEED,
    )


class Child:
    """A side in a process of its own."""

    def __init__(self, side: SideName, work: Work, groups: Path) -> None:
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--child",
            side,
            json.dumps(asdict(work)),
            str(groups),
        ]
        environment = os.environ | {
            "OMP_NUM_THREADS": str(work.threads),
            "TOKENIZERS_PARALLELISM": "false",
            "TRL_EXPERIMENTAL_SILENCE": "1",
            "PYTHONWARNINGS": "ignore::FutureWarning",
        }
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def step(self) -> Step:
        """Give it the turn and wait until it has made a step."""
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise SystemExit("a side ended before its last step; its message is above")
        return Step(**json.loads(line))

    def close(self) -> None:
        """End it, finished or not."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def run_child(side: SideName, work: Work, groups: Path) -> None:
    """Be a side: figures go to what was stdout, and all that libraries print to stderr."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(work.threads)
    run = run_ours if side == "mopd" else run_trl
    run(work, cast("list[RolloutGroup]", pickle.loads(groups.read_bytes())), Turns(channel))


@contextmanager
def children(work: Work, groups: Path) -> Iterator[tuple[Child, Child]]:
    """Ours and theirs."""
    with ExitStack() as stack:
        both = []
        for side in SIDES:
            both.append(Child(side, work, groups))
            stack.callback(both[-1].close)
        yield both[0], both[1]


def compare(work: Work, groups: Path) -> list[tuple[Step, Step]]:
    """Every step of ours and of theirs, in turns."""
    with children(work, groups) as (ours, theirs):
        return [(ours.step(), theirs.step()) for _ in range(work.steps)]


def check_equal_work(ours: Step, theirs: Step) -> float:
    """The losses' difference on the first step, as a share of the loss. Ends the program unless both did the same."""
    mine, other = ((step.sampled, step.trained, round(step.context, 6)) for step in (ours, theirs))
    if mine != other:
        raise SystemExit(f"tokens sampled, trained on and shown differ: {mine} for mopd and {other} for trl")
    error = abs(ours.loss - theirs.loss) / theirs.loss
    if not error <= MAX_LOSS_ERROR:
        raise SystemExit(f"losses are {ours.loss:.8f} and {theirs.loss:.8f} nats, which differ by {error:.1e} of it")
    return error


def show(title: str, pairs: Sequence[tuple[Step, Step]]) -> tuple[float, float]:
    """Print both sides' medians; the ratios of response tokens a second (median) and of trained ones (of all steps)."""
    print(f"{title:20}{'tokens':>8}{'trained':>9}{'seconds':>9}{'fastest':>9}{'tokens/s':>10}{'peak MiB':>10}")
    for name, steps in zip(SIDES, zip(*pairs, strict=True), strict=True):
        sampled = statistics.median(step.sampled for step in steps)
        trained = statistics.median(step.trained for step in steps)
        rate = statistics.median(step.tokens_a_second for step in steps)
        seconds = [step.duration_s for step in steps]
        print(
            f"{'  ' + name:20}{sampled:8.0f}{trained:9.0f}{statistics.median(seconds):9.3f}{min(seconds):9.3f}", end=""
        )
        print(f"{rate:10.0f}{steps[-1].peak_mib:10.0f}")
    ratios = [ours.tokens_a_second / theirs.tokens_a_second for ours, theirs in pairs]
    ours, theirs = (
        sum(step.trained for step in steps) / sum(step.duration_s for step in steps)
        for steps in zip(*pairs, strict=True)
    )
    print(f"  speedup {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", end="")
    print(f"; trained tokens of all steps over their seconds: {ours / theirs:.2f}")
    return statistics.median(ratios), ours / theirs


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whole optimiser steps beside TRL's SDPOTrainer.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2, help="steps of each side that are not counted")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--trl-rows", type=int, help="rows of a micro-batch of TRL; the whole step where not given")
    parser.add_argument("--tiny", action="store_true", help="two prompts and two steps, to see that it runs")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tiny:
        options.prompts, options.group, options.repeats, options.warmup = 2, 4, 2, 1
    return options


def main() -> None:
    options = parse()
    if options.child:
        side, work, groups = options.child
        run_child(side, Work(**json.loads(work)), Path(groups))
        return
    if find_spec("trl") is None:
        raise SystemExit("benchmarks/step.py compares with TRL: pip install trl")
    torch.set_num_threads(options.threads)
    rows = options.trl_rows or options.prompts * options.group
    shape = (options.threads, options.prompts, options.group, options.warmup + options.repeats, rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "groups.pickle"
        path.write_bytes(pickle.dumps(record(Work(*shape, recorded=False))))
        without = compare(Work(*shape, recorded=True), path)
        with_rollouts = compare(Work(*shape, recorded=False), path)
    error = check_equal_work(*without[0])
    print(f"{options.prompts} prompts x {options.group} rollouts, {options.threads} thread(s)")
    slow, slow_trained = show("with rollouts", with_rollouts[options.warmup :])
    fast, _ = show("without rollouts", without[options.warmup :])
    memory = with_rollouts[-1][0].peak_mib / with_rollouts[-1][1].peak_mib
    print(f"losses differ by {error:.1e} of the loss, peak memory is {memory:.2f} of TRL's")
    figures = {
        "step.speedup_with_rollouts": round(slow, 2),
        "step.speedup_without_rollouts": round(fast, 2),
        "step.trained_speedup_with_rollouts": round(slow_trained, 2),
        "step.memory_ratio": round(memory, 3),
        "step.loss_error": error,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
