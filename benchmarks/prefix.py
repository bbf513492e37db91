"""Shared prefixes beside transformers' own forward over the same sequences: same model, same tokens, one process.

Teacher prompts come from the selector `contrastive` (2S1F) and the real wording, and the teacher's pass computes each
distinct prefix once; laying out is part of its time. Unshared, the same sequences go through transformers' attention,
eager and SDPA, one a row and all in one batch, padded on the right so that no mask is needed; the fastest counts. One
side runs, then the next, several times over; the tables hold medians, ratios are medians of each turn's ratio. It also
checks that both sides give the same loss. Beside it: the student's pass, forward and backward, sharing the question.

    python benchmarks/prefix.py [--threads 2] [--repeats 7] [--skip-curves]

The last line is JSON: {"prefix.token_ratio": tokens processed over those of the unshared teacher, "prefix.speedup":
seconds of the fastest unshared side over ours, ...}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from mopd_core.chat import encode_chat
from mopd_core.config.sections import ModelConfig, TrainingConfig
from mopd_core.divergences.jsd import JSD
from mopd_core.interfaces import Tokenizer
from mopd_core.output_head import Head
from mopd_core.peers.context import ContextConfig
from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector
from mopd_core.peers.teacher_prompt import TeacherPrompts
from mopd_core.training import attention
from mopd_core.training.batch import MicroBatch, StepBatch, build_step, micro_batches
from mopd_core.training.layout import Ids
from mopd_core.training.models import flat_hidden, load_tokenizer
from mopd_core.types import Message, Prompt, Rollout, RolloutGroup, Verdict

GROUPS = (2, 4, 8, 16, 32)
LENGTHS = (64, 128, 256, 512)
MAX_LOSS_ERROR = 1e-5
BUDGET = TrainingConfig().micro_batch_tokens

OURS, SINGLE = "shared", "sdpa single"
SDPA = (SINGLE, "sdpa batch")
ALL = (*SDPA, "eager single", "eager batch")
"""The unshared sides: transformers' attention, and whether a sequence or all of them are a batch."""

Side = Callable[[], Tensor]
"""Runs a pass and returns the final hidden states [n, D] that predict the step's taught tokens, in their order."""


@dataclass(frozen=True, slots=True)
class Case:
    """A group's step: every target's sequence for the teacher and for the student, last token left out."""

    batch: StepBatch
    teacher: tuple[Ids, ...]
    student: tuple[Ids, ...]
    response: int

    def micro_batches(self) -> Iterator[MicroBatch]:
        """As the loop cuts them by default, of the targets that have a context."""
        taught = self.batch.tokens.has_context[self.batch.tokens.rollout]
        return micro_batches(self.batch, taught, taught, BUDGET)

    def tokens(self, side: str) -> tuple[int, int]:
        """Tokens that are processed with and without sharing."""
        whole = self.teacher if side == "teacher" else self.student
        layouts = [micro.teacher if side == "teacher" else micro.student for micro in self.micro_batches()]
        return sum(len(layout) for layout in layouts if layout is not None), sum(map(len, whole))


def build_model(vocabulary: int) -> PreTrainedModel:
    """A random Qwen3: 6 layers, hidden 384, 6 heads and 2 for keys and values."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=384,
        intermediate_size=1152,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()


def write(rng: Random, tokenizer: Tokenizer, n_tokens: int) -> tuple[Ids, str]:
    """Arithmetic of exactly so many tokens."""
    text = " ".join(f"{rng.randrange(10)} + {rng.randrange(10)} = {rng.randrange(10)};" for _ in range(n_tokens))
    ids = np.asarray(tokenizer.encode(text, add_special_tokens=False)[:n_tokens], dtype=np.int32)
    return ids, tokenizer.decode(ids)


def build_case(tokenizer: Tokenizer, size: int, question: int, response: int) -> Case:
    """A group of `size` rollouts, every other one a success, as the loop would batch it."""
    rng = Random(0)
    messages = (Message(role="user", content=write(rng, tokenizer, question)[1]),)
    prompt = Prompt("p", messages, token_ids=encode_chat(tokenizer, messages))
    rollouts = []
    for _ in range(size):
        ids, text = write(rng, tokenizer, response)
        rollouts.append(
            Rollout(ids, np.zeros(response, np.float32), text, "stop", 0, np.ones(response, dtype=np.bool_))
        )
    verdicts = tuple(Verdict(1.0, "passed") if n % 2 == 0 else Verdict(0.0, "failed") for n in range(size))
    groups = [RolloutGroup(prompt, tuple(rollouts), verdicts)]
    prompts = TeacherPrompts(ContextConfig(), tokenizer, 8192)
    (selections,) = ContrastiveSelector(ContrastiveConfig()).select(groups, Random(0))
    built = [prompts.build(groups, 0, selection) for selection in selections]
    batch = build_step(groups, [[None if shown is None else shown.token_ids for shown in built]])
    taught = [target for target in batch.targets if target.teacher_prompt is not None]
    return Case(
        batch,
        tuple(np.concatenate([t.teacher_prompt, t.response[:-1]]) for t in taught if t.teacher_prompt is not None),
        tuple(np.concatenate([t.prompt, t.response[:-1]]) for t in taught),
        response,
    )


def shared(model: PreTrainedModel, case: Case, side: str) -> Tensor:
    """Our pass of the `teacher` or the `student`, layout included: hidden states [n, D] of the taught tokens."""
    model.set_attn_implementation(attention.NAME)
    hidden, places = [], []
    for micro in case.micro_batches():
        layout, rows = (micro.teacher, micro.teacher_rows) if side == "teacher" else (micro.student, micro.student_rows)
        assert layout is not None
        hidden.append(flat_hidden(model, layout)[rows])
        places.append(micro.tokens)
    return torch.cat(hidden)[torch.cat(places).argsort()]


def unshared(model: PreTrainedModel, sequences: Sequence[Ids], response: int, implementation: str, rows: int) -> Tensor:
    """transformers' pass, `rows` sequences at a time, those of about one length together; the same hidden states."""
    model.set_attn_implementation(implementation)
    found: dict[int, Tensor] = {}
    by_length = sorted(range(len(sequences)), key=lambda number: len(sequences[number]))
    for start in range(0, len(by_length), rows):
        members = by_length[start : start + rows]
        ids = torch.zeros(len(members), len(sequences[members[-1]]), dtype=torch.int64)
        for row, member in enumerate(members):
            ids[row, : len(sequences[member])] = torch.from_numpy(sequences[member])
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        for row, member in enumerate(members):
            found[member] = hidden[row, len(sequences[member]) - response : len(sequences[member])]
    return torch.cat([found[number] for number in range(len(sequences))])


def sides_of(model: PreTrainedModel, case: Case, side: str, names: Sequence[str]) -> dict[str, Side]:
    """Ours and the unshared sides that are named `implementation rows`."""
    sequences = case.teacher if side == "teacher" else case.student
    sides: dict[str, Side] = {OURS: partial(shared, model, case, side)}
    for name in names:
        implementation, rows = name.split()
        count = 1 if rows == "single" else len(sequences)
        sides[name] = partial(unshared, model, sequences, case.response, implementation, count)
    return sides


def alternate(sides: Mapping[str, Side], repeats: int, with_gradient: bool) -> dict[str, list[float]]:
    """Seconds of every side, all in turn, `repeats` times after a round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            with torch.set_grad_enabled(with_gradient):
                hidden = side()
                if with_gradient:
                    torch.autograd.backward(hidden.square().mean())
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


@torch.no_grad()
def loss(model: PreTrainedModel, student: Tensor, teacher: Tensor) -> float:
    """Mean jsd over the taught tokens, nats."""
    head = Head(model)
    log_p, log_q = (head(hidden).double().log_softmax(-1) for hidden in (student, teacher))
    return float(JSD()(log_p, log_q).mean())


@torch.no_grad()
def loss_error(model: PreTrainedModel, case: Case) -> float:
    """How far the loss over shared prefixes is from that over transformers' own forward, relatively."""
    ours, theirs = (
        loss(model, sides["student"](), sides["teacher"]())
        for sides in (
            {side: sides_of(model, case, side, ())[OURS] for side in ("student", "teacher")},
            {side: sides_of(model, case, side, [SINGLE])[SINGLE] for side in ("student", "teacher")},
        )
    )
    return abs(ours - theirs) / theirs


def speedup(seconds: Mapping[str, Sequence[float]]) -> tuple[float, str]:
    """Of ours over the unshared side that is fastest by its median: the median of the turns' ratios, and its name."""
    others = {name: statistics.median(taken) for name, taken in seconds.items() if name != OURS}
    fastest = min(others, key=others.__getitem__)
    return statistics.median(b / a for a, b in zip(seconds[OURS], seconds[fastest], strict=True)), fastest


def print_sides(title: str, seconds: Mapping[str, Sequence[float]], tokens: tuple[int, int]) -> None:
    print(f"\n{title}\n{'':16}{'tokens':>8}{'seconds':>9}{'least':>8}")
    for name, taken in seconds.items():
        count = tokens[0] if name == OURS else tokens[1]
        print(f"{name:16}{count:8}{statistics.median(taken):9.3f}{min(taken):8.3f}")


def print_curve(model: PreTrainedModel, cases: Mapping[str, Case], repeats: int) -> None:
    """A line a case: tokens of both sides, their ratio, and the speedup over the faster SDPA side."""
    print(f"{'':12}{'shared':>8}{'unshared':>10}{'ratio':>7}{'speedup':>9}")
    for name, case in cases.items():
        tokens = case.tokens("teacher")
        ratio, _ = speedup(alternate(sides_of(model, case, "teacher", SDPA), repeats, False))
        print(f"{name:12}{tokens[0]:8}{tokens[1]:10}{tokens[0] / tokens[1]:7.2f}{ratio:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Shared prefixes beside transformers' own forward.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--skip-curves", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    tokenizer = load_tokenizer(ModelConfig(path="bundled"))
    model = build_model(len(tokenizer))
    case = build_case(tokenizer, size=8, question=256, response=256)
    error = loss_error(model, case)
    if error > MAX_LOSS_ERROR:
        raise SystemExit(f"the loss over shared prefixes is off by {error:.1e}; allowed: {MAX_LOSS_ERROR:.0e}")

    print(f"8 rollouts, contrastive 2S1F, question and responses of 256 tokens, {options.threads} thread(s)")
    ratios: dict[str, float] = {}
    for side, with_gradient in (("teacher", False), ("student", True)):
        seconds = alternate(sides_of(model, case, side, ALL), options.repeats, with_gradient)
        tokens = case.tokens(side)
        print_sides(f"{side}, {'forward and backward' if with_gradient else 'forward'}", seconds, tokens)
        ratio, fastest = speedup(seconds)
        print(f"tokens {tokens[0] / tokens[1]:.3f}, speedup {ratio:.2f} over {fastest}")
        prefix = "prefix." if side == "teacher" else "prefix.student_"
        ratios |= {f"{prefix}token_ratio": round(tokens[0] / tokens[1], 3), f"{prefix}speedup": round(ratio, 2)}
    if not options.skip_curves:
        print("\nteacher, by rollouts (question and responses of 256 tokens)")
        print_curve(model, {f"G = {n}": build_case(tokenizer, n, 256, 256) for n in GROUPS}, options.repeats)
        print("\nteacher, by tokens of each response and so of each peer (8 rollouts, question of 256 tokens)")
        print_curve(model, {f"{n}": build_case(tokenizer, 8, 256, n) for n in LENGTHS}, options.repeats)
    print(json.dumps(ratios | {"prefix.loss_error": error}))


if __name__ == "__main__":
    main()
