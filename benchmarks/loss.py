"""The chunked head beside a dense loss, beside TRL's and Liger's, and beside the matrix products that none can avoid.

One generalised Jensen-Shannon divergence over the whole vocabulary, forward and backward: hidden states of student and
teacher and both output heads in, gradients of the student's out, fp32. First every form has to give the dense form's
loss and gradients, on few tokens. Then each form's peak memory above its inputs is measured in a process of its own
(Linux), and last come the times: all forms in turn, once to warm up and then several times over; the table holds
medians.

    python benchmarks/loss.py [--threads 2] [--repeats 5] [--tokens 2048] [--vocabulary 151936] [--hidden 1024]

TRL and Liger take part where they can be imported (`pip install trl liger-kernel`). A form that needs more memory than
the machine has is left out, and the table says so. The last line is JSON: ratios of ours to the dense form, and to the
four products (`loss.floor_ratio`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from mopd_core.divergences.config import JSDConfig
from mopd_core.divergences.head import HeadLoss, HeadTokens, chunk_size
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.output_head import Head, LinearLogits

CAN_COMPILE = shutil.which("g++") is not None
LIGER = "liger, compiled" if CAN_COMPILE else "liger"
CHECKED_TOKENS = 48
SPARE_BYTES = 2**30
"""What a form has to leave of the machine's free memory."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hidden states [n, D] and heads [V, D] of both sides; the student's have gradients."""

    hidden: nn.Parameter
    weight: nn.Parameter
    teacher_hidden: Tensor
    teacher_weight: Tensor
    chunk_tokens: int

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Those of the last backward pass: [n, D] and [V, D]."""
        assert self.hidden.grad is not None
        assert self.weight.grad is not None
        return self.hidden.grad, self.weight.grad

    def clear(self) -> None:
        self.hidden.grad = self.weight.grad = None


def draw_inputs(options: argparse.Namespace, tokens: int) -> Inputs:
    """Logits of standard deviation 3; the teacher's are the student's, disturbed."""
    torch.manual_seed(0)
    hidden = torch.randn(tokens, options.hidden)
    weight = torch.randn(options.vocabulary, options.hidden).mul_(3 / options.hidden**0.5)
    return Inputs(
        nn.Parameter(hidden),
        nn.Parameter(weight),
        torch.randn(tokens, options.hidden).add_(hidden).mul_(0.5**0.5),
        torch.randn(options.vocabulary, options.hidden).mul_(1 / options.hidden**0.5).add_(weight),
        chunk_size(options.vocabulary, options.logits_memory_mib),
    )


def products(inputs: Inputs) -> Callable[[], None]:
    """The floor: both sides' logits, and from a slope the gradients, each one product into memory that is there."""
    student = torch.zeros(len(inputs.hidden), len(inputs.weight))
    teacher = torch.zeros_like(student)
    of_hidden, of_weight = torch.zeros_like(inputs.hidden), torch.zeros_like(inputs.weight)

    @torch.no_grad()
    def run() -> None:
        torch.mm(inputs.teacher_hidden, inputs.teacher_weight.T, out=teacher)
        torch.mm(inputs.hidden, inputs.weight.T, out=student)
        torch.mm(student, inputs.weight, out=of_hidden)
        torch.mm(student.T, inputs.hidden, out=of_weight)

    return run


def dense(inputs: Inputs) -> Tensor:
    """The definition on whole logits, through autograd."""
    log_p = (inputs.hidden @ inputs.weight.T).log_softmax(-1)
    log_q = (inputs.teacher_hidden @ inputs.teacher_weight.T).log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2.0)
    of_student = (log_p.exp() * (log_p - log_m)).sum()
    of_teacher = (log_q.exp() * (log_q - log_m)).sum()
    return (of_student + of_teacher) / (2 * len(log_p))


class HiddenPass:
    """A teacher that keeps hidden states, and makes logits as our models' passes do."""

    def __init__(self, hidden: Tensor, weight: Tensor) -> None:
        self.hidden = hidden
        self.linear = LinearLogits(head_of(nn.Parameter(weight, requires_grad=False)))

    def logits(self, rows: Tensor) -> Tensor:
        return self.linear(self.hidden[rows])


def head_of(weight: nn.Parameter) -> nn.Linear:
    """The layer whose weight [V, D] this is."""
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    head.weight = weight
    return head


class HeadOnly(nn.Module):
    """A model without a body."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.config = SimpleNamespace()
        self.head = head_of(weight)

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


def ours(inputs: Inputs) -> Tensor:
    """`HeadLoss`, which also gives log-probabilities and entropies."""
    head = Head(HeadOnly(inputs.weight))
    loss = HeadLoss(head, JSD(0.5), Outcomes(JSDConfig()), 1.0, inputs.chunk_tokens)
    count = len(inputs.hidden)
    rows = torch.arange(count)
    tokens = HeadTokens(rows, rows, rows % head.vocabulary, torch.zeros(count), torch.ones(count))
    return loss(inputs.hidden, tokens, HiddenPass(inputs.teacher_hidden, inputs.teacher_weight), count)[0]


def trl_dense(inputs: Inputs) -> Tensor:
    """TRL's loss of its GKD trainer, on whole logits."""
    generalized_jsd_loss = peer("trl, gkd").GKDTrainer.generalized_jsd_loss
    student, teacher = inputs.hidden @ inputs.weight.T, inputs.teacher_hidden @ inputs.teacher_weight.T
    loss: Tensor = generalized_jsd_loss(student, teacher, beta=0.5, reduction="batchmean")
    return loss


def trl_chunked(inputs: Inputs) -> Tensor:
    """TRL's loss of its distillation trainer, in tiles of the logits."""
    chunked = peer("trl, distillation")._chunked_divergence_loss
    hidden, teacher_hidden, mask = inputs.hidden[None], inputs.teacher_hidden[None], torch.ones(1, len(inputs.hidden))
    loss: Tensor = chunked(hidden, teacher_hidden, inputs.weight, inputs.teacher_weight, mask, 0.5)[0]
    return loss


def liger(inputs: Inputs) -> Tensor:
    """Liger's chunked loss, with chunks as large as ours; its Triton kernels need a GPU."""
    module = peer(LIGER).LigerFusedLinearJSDLoss(
        weight_hard_loss=0.0, weight_soft_loss=1.0, beta=0.5, compiled=CAN_COMPILE, chunk_size=inputs.chunk_tokens
    )
    targets = torch.zeros(len(inputs.hidden), dtype=torch.long)
    loss: Tensor = module(inputs.hidden, inputs.weight, inputs.teacher_hidden, inputs.teacher_weight, targets)
    return loss


LOSSES: Mapping[str, Callable[[Inputs], Tensor]] = {
    "mopd": ours,
    "dense": dense,
    "trl, gkd": trl_dense,
    "trl, distillation": trl_chunked,
    LIGER: liger,
}
FLOOR = "four products"
PEERS = {
    "trl, gkd": "trl.experimental.gkd.gkd_trainer",
    "trl, distillation": "trl.trainer.distillation_trainer",
    LIGER: "liger_kernel.chunked_loss",
}


def peer(name: str) -> Any:
    """The module that has a peer's loss."""
    return import_module(PEERS[name])


def prepare(name: str, inputs: Inputs) -> Callable[[], object]:
    """What to time of a form; what it sets up before is not timed."""
    if name == FLOOR:
        return products(inputs)
    return lambda: torch.autograd.backward(LOSSES[name](inputs))


def importable(name: str) -> bool:
    """Whether the form can run here; says so if not."""
    try:
        if name in PEERS:
            peer(name)
    except ImportError as error:
        print(f"left out: {name} ({error})")
        return False
    return True


def check(name: str, inputs: Inputs, expected: tuple[Tensor, ...]) -> None:
    """Stop unless a form's loss and gradients are the exact ones, within 5e-4 of the largest entry of each."""
    loss = LOSSES[name](inputs)
    torch.autograd.backward(loss)
    all_found = (loss.detach(), *inputs.gradients())
    for what, found, wanted in zip(
        ("loss", "gradient of hidden states", "gradient of the head"), all_found, expected, strict=True
    ):
        error = float((found - wanted).abs().max() / wanted.abs().max())
        if not error <= 5e-4:
            raise SystemExit(f"{name}: {what} is off by {error:.1e} of it; allowed: 5e-4")
        print(f"{name}: {what} is off by {error:.1e} of it")
    inputs.clear()


def in_double(inputs: Inputs) -> Inputs:
    """The same in float64: whole logits in fp32 are now and then off by more than what is allowed."""
    hidden, weight = (nn.Parameter(tensor.detach().double()) for tensor in (inputs.hidden, inputs.weight))
    return Inputs(hidden, weight, inputs.teacher_hidden.double(), inputs.teacher_weight.double(), inputs.chunk_tokens)


def check_all(names: list[str], inputs: Inputs) -> None:
    exact = in_double(inputs)
    loss = dense(exact)
    torch.autograd.backward(loss)
    expected = (loss.detach(), *exact.gradients())
    for name in names:
        check(name, inputs, expected)


def own_bytes(what: str) -> int:
    """A size of this process, as Linux tells it: VmRSS now, VmHWM at its peak, VmSize in addresses."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def print_memory(name: str, options: argparse.Namespace) -> None:
    """In a process of its own: run a form once and print the bytes that it took above its inputs, as JSON."""
    importable(name)
    inputs = draw_inputs(options, options.tokens)
    run = prepare(name, inputs)
    if name == LIGER:  # What the compiler takes is no part of the loss.
        run()
        inputs.clear()
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") - SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (own_bytes("VmSize") + free, resource.RLIM_INFINITY))
    before = own_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # The peak starts anew.
    run()
    print(json.dumps(own_bytes("VmHWM") - before))


def memory_of(name: str, arguments: list[str]) -> int | None:
    """Bytes that a form takes above its inputs; None where the machine has less."""
    command = [sys.executable, __file__, *arguments, "--memory-of", name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return int(json.loads(result.stdout.splitlines()[-1]))
    if "can't allocate memory" in result.stderr or "bad_alloc" in result.stderr:
        return None
    raise SystemExit(f"measuring {name} failed:\n{result.stderr}")


def time_in_turns(names: list[str], inputs: Inputs, repeats: int) -> dict[str, list[float]]:
    """Seconds of every form, `repeats` times in turn, after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats + 1):
        for name in names:
            run = prepare(name, inputs)
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
            inputs.clear()
    return {name: all_times[1:] for name, all_times in times.items()}


def ratio(times: Mapping[str, list[float]], name: str, other: str) -> float:
    """The median over turns of one form's time over another's."""
    return statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The chunked head beside a dense loss, TRL's and Liger's.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--logits-memory-mib", type=int, default=512, help="as training.logits_memory_mib")
    parser.add_argument("--without-peers", action="store_true", help="neither TRL nor Liger")
    parser.add_argument("--memory-of", choices=[FLOOR, *LOSSES], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print_memory(options.memory_of, options)
        return
    names = ["mopd", "dense"] if options.without_peers else [name for name in LOSSES if importable(name)]
    check_all(names, draw_inputs(options, CHECKED_TOKENS))
    memory = {name: memory_of(name, sys.argv[1:]) for name in names}
    fitting = [name for name in names if memory[name] is not None]
    times = time_in_turns([FLOOR, *fitting], draw_inputs(options, options.tokens), options.repeats)

    print(
        f"{options.tokens} tokens, vocabulary {options.vocabulary}, hidden {options.hidden}, "
        f"chunks of {chunk_size(options.vocabulary, options.logits_memory_mib)}, {options.threads} thread(s)"
    )
    print(f"{'':20}{'seconds':>9}{'of products':>13}{'peak MiB':>10}")
    for name in [FLOOR, *names]:
        took = memory.get(name)
        peak = "" if name == FLOOR else "too much" if took is None else f"{took / 2**20:.0f}"
        spent = f"{statistics.median(times[name]):9.2f}{ratio(times, name, FLOOR):13.2f}" if name in times else " " * 22
        print(f"{name:20}{spent}{peak:>10}")
    of_ours, of_dense = memory["mopd"], memory["dense"]
    results = {"loss.floor_ratio": ratio(times, "mopd", FLOOR)}
    if of_ours is not None and of_dense is not None:
        results["loss.memory_ratio"] = of_ours / of_dense
        results["loss.time_ratio"] = ratio(times, "mopd", "dense")
    print(json.dumps({name: round(value, 3) for name, value in results.items()}))


if __name__ == "__main__":
    main()
