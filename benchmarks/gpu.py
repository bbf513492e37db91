"""Optimiser steps on one GPU: time by phase, tokens a second, peak memory, and how much of the device they use.

Random weights of the shapes of Qwen3-0.6B and 1.7B, bf16. A step is 8 prompts of 512 tokens with 8 rollouts each, of
mixed lengths up to 2,048, every other one a success; `contrastive` (2S1F) chooses the teacher's peers. Tokens are drawn
at random, rollouts are given, and from there on it is the trainer's own way: batch, teacher, student, head, optimiser,
EMA. Beside the step as it is stand the same step without shared prefixes and with each way of the head, and beside the
head alone Liger's fused JSD, where that can be imported (`pip install liger-kernel`); `--with-trl` adds TRL's step
(`gpu_trl`). Forms follow one another in one
process; figures are medians after a step that does not count (it compiles).

Utilisation is the work that the method needs over what the device could do meanwhile: floating-point operations of the
products, each distinct prefix once, nothing recomputed, over seconds and the dense bf16 peak of the device.

    python benchmarks/gpu.py [--models 0.6b 1.7b] [--repeats 3] [--minutes 9] [--compile]      on one CUDA GPU
    python benchmarks/gpu.py --tiny                                                              on a CPU, to try it

What does not begin within `--minutes` is left out, and said. The last line is JSON: of each model `step_s`,
`tokens_per_s`, `peak_mib`, `utilisation`, `sharing_speedup` (of the step), `fused_speedup` (of the head), against
Liger's loss `liger_time_ratio` and `liger_memory_ratio` (ours over theirs), and `trl_speedup` (theirs over ours).
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from mopd_core.config.sections import TrainingConfig
from mopd_core.divergences.config import JSDConfig
from mopd_core.divergences.fused import FasterWay
from mopd_core.divergences.head import HeadLoss, HeadTokens, chunk_size
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.interfaces import PeerSelector
from mopd_core.objectives.config import DistillConfig
from mopd_core.objectives.distill import Distill
from mopd_core.output_head import Head
from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector
from mopd_core.peers.first_success import FirstSuccessSelector
from mopd_core.teachers.ema import EmaTeacher
from mopd_core.testing.tiny import NumberTokenizer
from mopd_core.training import attention, batch, layout, models
from mopd_core.training.batch import MicroBatch, StepBatch, build_step, micro_batches
from mopd_core.training.layout import Ids
from mopd_core.training.learner import Learner
from mopd_core.training.optimiser import build_optimiser
from mopd_core.types import Prompt, Rollout, RolloutGroup, Verdict

PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0}
"""Dense bf16, by what the device's name holds: the SXM boards' data sheets."""

PHASES = ("teacher", "student", "head", "backward", "optimiser", "ema")

SHAPES: Mapping[str, Mapping[str, int]] = {
    "0.6b": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28},
    "1.7b": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28},
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 379,
    },
}
QWEN3 = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936}


@dataclass(frozen=True, slots=True)
class Work:
    """A step: how many prompts of how many tokens, rollouts of each, and the shortest and longest response."""

    prompts: int = 8
    group: int = 8
    question: int = 512
    shortest: int = 128
    longest: int = 2048
    head_tokens: int = 8192


@dataclass(frozen=True, slots=True)
class Timed:
    """A form's steps: seconds by phase and in all (medians), and the peak of allocated memory (None on a CPU)."""

    phases: Mapping[str, float]
    step_s: float
    peak_mib: float | None


class Clock:
    """Whether there is time for one more form."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def allows(self, what: str) -> bool:
        """Says so if not."""
        if time.monotonic() < self.end:
            return True
        print(f"left out for want of time: {what}")
        return False


def build_model(name: str, device: torch.device) -> PreTrainedModel:
    """Random fp32 weights of the shape, on flat rows."""
    torch.manual_seed(0)
    options = {**QWEN3, **SHAPES[name], "max_position_embeddings": 40_960, "tie_word_embeddings": True}
    with device:
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            Qwen3Config(**options), dtype=torch.float32, attn_implementation=attention.NAME
        )
    return model.eval()


def build_batch(work: Work, vocabulary: int, selector: PeerSelector) -> StepBatch:
    """The step's groups with their teacher's prompts, which hold the peers' tokens between a few of their own."""
    draw, rng = np.random.default_rng(0), Random(0)

    def ids(count: int) -> Ids:
        return draw.integers(2, vocabulary, count, dtype=np.int32)

    heading, closing = ids(12), ids(32)
    groups = []
    for number in range(work.prompts):
        lengths = draw.integers(work.shortest, work.longest + 1, work.group)
        rollouts = tuple(
            Rollout(ids(n), np.zeros(n, np.float32), "", "stop", 0, np.ones(n, dtype=np.bool_)) for n in lengths
        )
        verdicts = tuple(
            Verdict(1.0, "passed") if index % 2 == 0 else Verdict(0.0, "failed") for index in range(work.group)
        )
        groups.append(RolloutGroup(Prompt(str(number), (), token_ids=ids(work.question)), rollouts, verdicts))
    chosen = selector.select(groups, rng)
    prompts = [
        [
            np.concatenate(
                [group.prompt.token_ids]
                + [part for peer in one.peers for part in (heading, group.rollouts[peer.index].token_ids)]
                + [closing]
            )
            for one in of_group
        ]
        for group, of_group in zip(groups, chosen, strict=True)
    ]
    return build_step(groups, prompts)


def build_learner(model: PreTrainedModel, config: TrainingConfig, device: torch.device) -> Learner:
    """As the bundled recipe composes it."""
    teacher = EmaTeacher(model, 0.05)
    if config.gradient_checkpointing:
        models.enable_checkpointing(model)
    if config.compile:
        models.compile_blocks(model)
    head = Head(model)
    loss = HeadLoss(head, JSD(0.5), Outcomes(JSDConfig()), 1.0, chunk_size(head.vocabulary, config.logits_memory_mib))
    objective = Distill(DistillConfig(), NumberTokenizer())
    dtype = models.choose_dtype(config, device)
    return Learner(model, teacher, objective, loss, build_optimiser(model, config), config, device, dtype)


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_mib(device: torch.device) -> float | None:
    """Since the last call; allocated by tensors."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device) / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def seconds(work: Callable[[], object], device: torch.device) -> float:
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


def time_steps(learner: Learner, step: StepBatch, repeats: int) -> Timed:
    """Steps with a learning rate of next to nothing, so that all do the same work."""
    device, all_phases, totals = learner.device, [], []
    assert learner.teacher is not None
    for repeat in range(repeats + 1):
        metrics: dict[str, float] = {}

        def learn(into: dict[str, float] = metrics) -> None:
            update = learner.learn(step, 1e-12)
            if update.outcome != "trained":
                raise SystemExit(f"a step came to nothing: {update.outcome}")
            into.update(update.metrics)

        learn_s = seconds(learn, device)
        ema_s = seconds(partial(learner.teacher.update, learner.student), device)
        if repeat == 0:
            peak_mib(device)
            continue
        phases = {name: metrics.get(f"time/learn_{name}_s", float("nan")) for name in PHASES[:-1]}
        all_phases.append(phases | {"ema": ema_s})
        totals.append(learn_s + ema_s)
    medians = {name: statistics.median(phases[name] for phases in all_phases) for name in PHASES}
    return Timed(medians, statistics.median(totals), peak_mib(device))


@contextmanager
def without_sharing() -> Iterator[None]:
    """No prefix is long enough to be shared."""
    least = layout.MIN_SHARED
    layout.MIN_SHARED = batch.MIN_SHARED = 2**31  # type: ignore[attr-defined]
    try:
        yield
    finally:
        layout.MIN_SHARED = batch.MIN_SHARED = least  # type: ignore[attr-defined]


def passes(step: StepBatch, budget: int) -> list[MicroBatch]:
    """As the learner cuts the step."""
    taught = step.tokens.has_context[step.tokens.rollout]
    return list(micro_batches(step, taught, taught, budget))


def unique_tokens(micros: Sequence[MicroBatch]) -> tuple[int, int]:
    """Tokens that the student's and the teacher's passes process."""
    return (
        sum(len(micro.student) for micro in micros),
        sum(len(micro.teacher) for micro in micros if micro.teacher is not None),
    )


def step_flops(config: Any, micros: Sequence[MicroBatch]) -> float:
    """Floating-point operations of the products that the step cannot do without: 2 a multiplication and addition.

    A backward pass takes two products for one of the forward pass; the teacher has none.
    """
    heads = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    of_layer = config.hidden_size * (2 * heads + 2 * keys + 3 * config.intermediate_size)
    total = 0.0
    for micro in micros:
        for sequences, times in ((micro.student, 3), (micro.teacher, 1)):
            if sequences is not None:
                looks = float((sequences.positions + 1).sum())
                total += times * config.num_hidden_layers * (2 * of_layer * len(sequences) + 4 * heads * looks)
        total += 2 * config.vocab_size * config.hidden_size * (3 * len(micro.tokens) + micro.n_distilled)
    return total


@dataclass(frozen=True, slots=True)
class Given:
    """A teacher that keeps hidden states [n, D], before the head's weight [V, D]."""

    hidden: Tensor
    weight: Tensor

    def logits(self, rows: Tensor) -> Tensor:
        return self.hidden[rows] @ self.weight.T


class HeadOnly(nn.Module):
    """A model without a body."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.config: Any = Qwen3Config()
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.head.weight = weight

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


def head_forms(work: Work, config: Any, device: torch.device) -> dict[str, Callable[[], object]]:
    """The head's forward and backward pass on hidden states [n, D] and one weight a side: ours, and Liger's."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    n, size = work.head_tokens, (config.vocab_size, config.hidden_size)
    weight = nn.Parameter(torch.randn(size, device=device, dtype=dtype) * config.hidden_size**-0.5)
    of_teacher = (weight + torch.randn_like(weight) * config.hidden_size**-0.5).detach()
    hidden = nn.Parameter(torch.randn(n, config.hidden_size, device=device, dtype=dtype))
    rows = torch.arange(n, device=device)
    ones = torch.ones(n, device=device)
    tokens = HeadTokens(rows, rows, rows % config.vocab_size, torch.zeros_like(ones), ones)
    chunk = chunk_size(config.vocab_size, TrainingConfig().logits_memory_mib)

    def ours(is_fused: bool) -> None:
        loss = HeadLoss(Head(HeadOnly(weight)), JSD(0.5), Outcomes(JSDConfig()), 1.0, chunk, way=FasterWay(is_fused))
        torch.autograd.backward(loss(hidden, tokens, Given(hidden.detach(), of_teacher), n)[0])
        hidden.grad = weight.grad = None

    def liger() -> None:
        loss = import_module("liger_kernel.chunked_loss").LigerFusedLinearJSDLoss(
            weight_hard_loss=0.0, weight_soft_loss=1.0, beta=0.5, chunk_size=chunk
        )
        torch.autograd.backward(loss(hidden, weight, hidden.detach(), of_teacher, rows % config.vocab_size))
        hidden.grad = weight.grad = None

    forms: dict[str, Callable[[], object]] = {"tiled": partial(ours, False)}
    if device.type == "cuda":
        forms["fused"] = partial(ours, True)
    if find_spec("liger_kernel"):
        forms["liger"] = liger
    else:
        print("left out: Liger's fused JSD (pip install liger-kernel)")
    return forms


def compare_heads(work: Work, config: Any, device: torch.device, repeats: int) -> dict[str, Timed]:
    """Every form in turn; memory is above what is there when a form begins."""
    forms = head_forms(work, config, device)
    taken: dict[str, list[float]] = {name: [] for name in forms}
    peaks: dict[str, float | None] = {}
    for repeat in range(repeats + 1):
        for name, form in forms.items():
            peak_mib(device)
            before = torch.cuda.memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
            taken[name] += [seconds(form, device)] if repeat else []
            if not repeat:
                form()
            peak = peak_mib(device)
            peaks[name] = None if peak is None else peak - before
    return {name: Timed({}, statistics.median(all_s), peaks[name]) for name, all_s in taken.items()}


def print_steps(forms: Mapping[str, Timed], tokens: int, flops: float, peak_tflops: float | None) -> None:
    names = "".join(f"{name:>11}" for name in PHASES)
    print(f"{'seconds':18}{names}{'step':>9}{'tokens/s':>10}{'peak MiB':>10}{'utilised':>10}")
    for name, timed in forms.items():
        phases = "".join(f"{timed.phases[phase]:11.3f}" for phase in PHASES)
        peak = "-" if timed.peak_mib is None else f"{timed.peak_mib:.0f}"
        used = utilisation(timed, flops, peak_tflops)
        share = "-" if used is None else f"{used:.1%}"
        print(f"{name:18}{phases}{timed.step_s:9.3f}{tokens / timed.step_s:10.0f}{peak:>10}{share:>10}")


def utilisation(timed: Timed, flops: float, peak_tflops: float | None) -> float | None:
    """Of the device's peak while the step trains; the EMA is no part of it."""
    training_s = timed.step_s - timed.phases["ema"]
    return None if peak_tflops is None else flops / training_s / (peak_tflops * 1e12)


def measure(name: str, options: argparse.Namespace, device: torch.device, clock: Clock) -> dict[str, float | None]:
    """A model's tables, and its figures by name."""
    work, budget = options.work, TrainingConfig().micro_batch_tokens
    config = TrainingConfig(
        micro_batch_tokens=budget, gradient_checkpointing=options.checkpointing, compile=options.compile
    )
    model = build_model(name, device)
    shape = model.config
    step = build_batch(work, shape.vocab_size, ContrastiveSelector(ContrastiveConfig()))
    micros = passes(step, budget)
    flops, tokens = step_flops(shape, micros), len(step.tokens.tokens)
    student, teacher = unique_tokens(micros)
    with without_sharing():
        unshared = unique_tokens(passes(step, budget))
    print(
        f"\n{name}: {tokens} response tokens; distinct tokens {student} (student) and {teacher} (teacher), without "
        f"sharing {unshared[0]} and {unshared[1]}; {flops / 1e12:.4g} TFLOP a step"
    )
    learner = build_learner(model, config, device)
    way = learner.loss.way
    forms = {"as it is": time_steps(learner, step, options.repeats)}
    for form, is_fused in (("tiled head", False), ("fused head", True)):
        if way.is_fused is not None and clock.allows(form):
            learner.loss = replace(learner.loss, way=FasterWay(is_fused))
            forms[form] = time_steps(learner, step, options.repeats)
    learner.loss = replace(learner.loss, way=way)
    if clock.allows("without sharing"):
        with without_sharing():
            forms["without sharing"] = time_steps(learner, step, options.repeats)
    print_steps(forms, tokens, flops, options.peak_tflops)
    one_success = None
    if options.with_trl and clock.allows("TRL"):
        other = build_batch(work, shape.vocab_size, FirstSuccessSelector())
        one_success = time_steps(learner, other, options.repeats)
    del learner, model
    gc.collect()
    found = {} if one_success is None else compare_trl(name, options, step, one_success, device)
    heads = compare_heads(work, shape, device, options.repeats) if clock.allows("the head alone") else {}
    for form, timed in heads.items():
        peak = "" if timed.peak_mib is None else f", {timed.peak_mib:.0f} MiB"
        print(f"head alone, {work.head_tokens} tokens, {form}: {timed.step_s * 1e3:.1f} ms{peak}")
    used = utilisation(forms["as it is"], flops, options.peak_tflops)
    return figures(forms, heads, tokens, used) | found


def compare_trl(
    name: str, options: argparse.Namespace, step: StepBatch, ours: Timed, device: torch.device
) -> dict[str, float | None]:
    """TRL's step over ours on responses of the same lengths, both with one success in the context."""
    work: Work = options.work
    lengths = [
        [len(target.response) for target in step.targets if target.group == number] for number in range(work.prompts)
    ]
    model = build_model(name, device)
    model.set_attn_implementation("sdpa")
    peak_mib(device)
    theirs_s = import_module("gpu_trl").step_seconds(
        model, lengths, work.question, options.trl_rows, options.repeats, device
    )
    peak = peak_mib(device)
    memory = "" if peak is None else f", {ours.peak_mib:.0f} and {peak:.0f} MiB"
    print(f"one success in the context, ours and TRL's: {ours.step_s:.3f} s and {theirs_s:.3f} s{memory}")
    return {"trl_step_s": theirs_s, "trl_speedup": theirs_s / ours.step_s}


def figures(
    forms: Mapping[str, Timed], heads: Mapping[str, Timed], tokens: int, used: float | None
) -> dict[str, float | None]:
    """What the last line tells of a model."""
    plain = forms["as it is"]
    found = {
        "step_s": plain.step_s,
        "tokens_per_s": tokens / plain.step_s,
        "peak_mib": plain.peak_mib,
        "utilisation": used,
    }
    if "without sharing" in forms:
        found["sharing_speedup"] = forms["without sharing"].step_s / plain.step_s
    if {"tiled head", "fused head"} <= forms.keys():
        found["fused_speedup"] = forms["tiled head"].phases["head"] / forms["fused head"].phases["head"]
    ours, liger = heads.get("fused") or heads.get("tiled"), heads.get("liger")
    if ours is not None and liger is not None:
        found["liger_time_ratio"] = ours.step_s / liger.step_s
        if ours.peak_mib is not None and liger.peak_mib is not None:
            found["liger_memory_ratio"] = ours.peak_mib / liger.peak_mib
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Optimiser steps on one GPU.")
    parser.add_argument("--models", nargs="+", choices=[name for name in SHAPES if name != "tiny"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=9.0, help="no form begins after so many")
    parser.add_argument("--compile", action="store_true", help="as training.compile")
    parser.add_argument("--checkpointing", action="store_true", help="as training.gradient_checkpointing")
    parser.add_argument("--peak-tflops", type=float, help="dense bf16, of a device that is not known here")
    parser.add_argument("--with-trl", action="store_true", help="TRL's step beside ours; needs trl")
    parser.add_argument("--trl-rows", type=int, default=2, help="rows of a micro-batch of TRL")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and step on the CPU, to see that it runs")
    options = parser.parse_args()
    options.work = Work()
    options.models = options.models or ["0.6b", "1.7b"]
    if options.tiny:
        options.models, options.work, options.repeats = ["tiny"], Work(2, 4, 40, 5, 30, 64), 1
    return options


def main() -> None:
    options = parse()
    if not options.tiny and not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py measures a CUDA GPU, and torch sees none; --tiny tries it on a CPU")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mopd_core.divergences.fused").setLevel(logging.INFO)  # Which way the head goes, and why.
    clock = Clock(options.minutes)
    device = torch.device("cpu" if options.tiny else "cuda")
    name = "CPU" if options.tiny else torch.cuda.get_device_name()
    known = [tflops for part, tflops in PEAK_TFLOPS.items() if part in name]
    options.peak_tflops = options.peak_tflops or next(iter(known), None)
    print(f"{name}, torch {torch.__version__}; peak assumed: {options.peak_tflops or 'none'} TFLOP/s dense bf16")
    results: dict[str, Any] = {"gpu.device": name, "gpu.peak_tflops": options.peak_tflops}
    for model in options.models:
        if clock.allows(model):
            found = measure(model, options, device, clock)
            results |= {
                f"gpu.{model}.{key}": None if value is None else round(value, 4) for key, value in found.items()
            }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
