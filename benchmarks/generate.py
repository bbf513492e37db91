"""Generator `hf` beside transformers' own `model.generate`: same model, prompts, stop tokens, temperature and process.

Groups of 8 rollouts, prompts of mixed length, responses of mixed length. One side samples, then the other, several
times over; the table holds medians. It also checks that the rollouts' log-probabilities are those of a fresh forward
pass.

    python benchmarks/generate.py [--threads 1] [--repeats 7]
    python benchmarks/generate.py --engine vllm         # or sglang, beside the bare engine: see engines.py

The last line is JSON: {"generate.speedup": tokens a second of `hf` over those of `model.generate`, ...}; with an
engine, {"generate.engine_ratio": ours over the bare engine's, ...}.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from mopd_backends.hf.config import HfConfig
from mopd_backends.hf.generator import HfGenerator
from mopd_core.interfaces import Generator
from mopd_core.types import Prompt, Rollout, Sampling

GROUP = 8
VOCABULARY = 512
STOP_IDS = tuple(range(2, 10))
"""Eight stop tokens of 512: a model with random weights then writes about 64 tokens, now and then many more."""
MAX_TOKENS = 256


class NoText:
    """Stands for a tokenizer: text is no part of the comparison."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return []

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return ""

    def apply_chat_template(self, conversation: object, **options: object) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Timing:
    """One pass over all prompts: tokens sampled (stop tokens included) and how long it took."""

    tokens: int
    duration_s: float

    @property
    def tokens_a_second(self) -> float:
        return self.tokens / self.duration_s


def build_model() -> PreTrainedModel:
    """A random Qwen3 of the bundled model's size: 3 layers, hidden 96."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=24,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=None,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    return model.eval().requires_grad_(False)


def build_prompts(count: int) -> list[Prompt]:
    """Random prompts of 20 to 60 tokens."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 61, count)
    return [
        Prompt(f"p{i}", (), token_ids=rng.integers(10, VOCABULARY, n).astype(np.int32)) for i, n in enumerate(lengths)
    ]


def sample_ours(generator: Generator, prompts: Sequence[Prompt], sampling: Sampling, repeat: int) -> Timing:
    """One pass of a generator."""
    seeds = [[(repeat * len(prompts) + p) * GROUP + g for g in range(GROUP)] for p in range(len(prompts))]
    start = time.perf_counter()
    rollouts = generator.generate(prompts, sampling, seeds=seeds)
    duration_s = time.perf_counter() - start
    return Timing(sum(len(rollout.token_ids) for group in rollouts for rollout in group), duration_s)


@torch.inference_mode()
def sample_transformers(model: PreTrainedModel, prompts: Sequence[Prompt], sampling: Sampling, repeat: int) -> Timing:
    """One pass of `model.generate` over the same prompts in one batch, padded on the left."""
    torch.manual_seed(repeat)
    longest = max(len(prompt.token_ids) for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt.token_ids) :] = torch.from_numpy(prompt.token_ids)
        mask[row, longest - len(prompt.token_ids) :] = 1
    start = time.perf_counter()
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        temperature=sampling.temperature,
        top_k=0,
        top_p=1.0,
        eos_token_id=list(sampling.stop_ids),
        pad_token_id=0,
        max_new_tokens=sampling.max_tokens,
        num_return_sequences=GROUP,
    )
    duration_s = time.perf_counter() - start
    return Timing(_count(output[:, longest:], sampling.stop_ids), duration_s)


def _count(tokens: torch.Tensor, stop_ids: Sequence[int]) -> int:
    """Tokens up to each row's first stop token, that one included."""
    stopped = torch.isin(tokens, torch.tensor(stop_ids)).cumsum(-1)
    before = (stopped == 0).sum()
    return int(before + stopped.any(-1).sum())


def largest_error(
    model: PreTrainedModel, prompts: Sequence[Prompt], groups: Sequence[Sequence[Rollout]], temperature: float
) -> float:
    """The largest difference, nats, of a rollout's log-probabilities from those of a forward pass over it alone."""
    worst = 0.0
    for prompt, group in zip(prompts, groups, strict=True):
        for rollout in group:
            ids = torch.from_numpy(np.concatenate([prompt.token_ids, rollout.token_ids])).long()
            logits = model(input_ids=ids[None]).logits[0, len(prompt.token_ids) - 1 : -1].float()
            fresh = (logits / temperature).log_softmax(-1).gather(-1, ids[len(prompt.token_ids) :, None])[:, 0]
            worst = max(worst, float(np.abs(fresh.numpy() - rollout.logprobs).max()))
    return worst


def alternate(sides: Sequence[Callable[[int], Timing]], repeats: int) -> list[list[Timing]]:
    """Run each side once to warm up, then all sides in turn, `repeats` times."""
    for side in sides:
        side(0)
    timings: list[list[Timing]] = [[] for _ in sides]
    for repeat in range(1, repeats + 1):
        for side, kept in zip(sides, timings, strict=True):
            kept.append(side(repeat))
    return timings


def main() -> None:
    parser = argparse.ArgumentParser(description="Generators beside what they stand on.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--engine", choices=("vllm", "sglang"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.engine:
        from engines import compare

        return compare(options.engine, options.prompts, options.repeats)

    model, prompts = build_model(), build_prompts(options.prompts)
    sampling = Sampling(max_tokens=MAX_TOKENS, temperature=1.0, stop_ids=STOP_IDS)
    generator = HfGenerator(HfConfig(), model, NoText())
    ours, theirs = alternate(
        [
            lambda repeat: sample_ours(generator, prompts, sampling, repeat),
            lambda repeat: sample_transformers(model, prompts, sampling, repeat),
        ],
        options.repeats,
    )
    checked = prompts[:4]
    groups = generator.generate(checked, sampling, seeds=[[p * GROUP + g for g in range(GROUP)] for p in range(4)])
    error = largest_error(model, checked, groups, sampling.temperature)
    if error > 1e-4:
        raise SystemExit(f"log-probabilities are off by {error:.2e} nats; allowed: 1e-4")

    ratios = [mine.tokens_a_second / other.tokens_a_second for mine, other in zip(ours, theirs, strict=True)]
    print(f"{options.prompts} prompts x {GROUP} rollouts, at most {MAX_TOKENS} tokens, {options.threads} thread(s)")
    print(f"{'':16}{'tokens':>8}{'seconds':>9}{'tokens/s':>10}")
    for name, timings in (("hf", ours), ("model.generate", theirs)):
        tokens = statistics.median(timing.tokens for timing in timings)
        duration_s = statistics.median(timing.duration_s for timing in timings)
        rate = statistics.median(timing.tokens_a_second for timing in timings)
        print(f"{name:16}{tokens:8.0f}{duration_s:9.2f}{rate:10.0f}")
    print(f"speedup {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); error {error:.1e} nats")
    print(json.dumps({"generate.speedup": round(statistics.median(ratios), 2), "generate.logprob_error": error}))


if __name__ == "__main__":
    main()
