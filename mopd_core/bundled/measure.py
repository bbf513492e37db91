"""How often a bundled model solves held-out problems, by what stands in its context; `pretrain` records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random
from types import MappingProxyType

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from mopd_core.bundled.families import FAMILIES, Problem
from mopd_core.bundled.samples import Mixture, Shape, context_blocks
from mopd_core.peers.context import ContextConfig, render_question
from mopd_core.seeds import derive_random
from mopd_core.types import Message

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "no context": Shape(0, 0),
        "1S": Shape(1, 0),
        "2S1F": Shape(2, 1),
        "1F": Shape(0, 1),
        "unrelated 2S1F": Shape(2, 1, unrelated=True),
    }
)
"""The contexts that are measured, by name."""

MAX_NEW_TOKENS = 192
"""Longer than any worked solution of the bundled families."""

_CHUNK = 25  # prompts sampled at a time: a larger cache is slower on CPU


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    families: Sequence[str],
    *,
    prompts: int,
    samples: int,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Share of right answers, in [0, 1], for each family: at temperature 1 in every context, and greedy in none."""
    rates: dict[str, dict[str, float]] = {}
    for name in families:
        asked = {label: prompts_for(name, shape, prompts, seed) for label, shape in SHAPES.items()}
        rates[name] = {label: solve_rate(model, tokenizer, asked[label], samples) for label in SHAPES}
        rates[name]["no context, greedy"] = solve_rate(model, tokenizer, asked["no context"], 1, temperature=0.0)
    return rates


def prompts_for(family: str, shape: Shape, n: int, seed: int) -> list[tuple[Problem, list[Message]]]:
    """`n` held-out problems with their chat messages; an unrelated context shows the next problem's solutions."""
    rng = derive_random(seed, 0, family, "measure")
    problems = FAMILIES[family].problems("held_out", n + 1, seed)
    return [
        (problem, _messages(problem, following if shape.unrelated else problem, shape, rng))
        for problem, following in pairwise(problems)
    ]


def _messages(problem: Problem, shown: Problem, shape: Shape, rng: Random) -> list[Message]:
    blocks = [block for block, _ in context_blocks(shown, shape, rng, Mixture().error_rate)]
    return list(render_question(ContextConfig(), [Message(role="user", content=problem.question)], blocks))


def solve_rate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[tuple[Problem, list[Message]]],
    samples: int,
    temperature: float = 1.0,
) -> float:
    """Mean over prompts (problem, messages) and samples of "the response is right"; temperature 0 is greedy."""
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    right: list[bool] = []
    for start in range(0, len(prompts), _CHUNK):
        chunk = prompts[start : start + _CHUNK]
        texts = [tokenizer.apply_chat_template(m, tokenize=False, add_generation_prompt=True) for _, m in chunk]
        inputs = tokenizer(texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
        outputs = model.generate(**inputs, **sampling, num_return_sequences=samples, max_new_tokens=MAX_NEW_TOKENS)
        responses = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        right += [chunk[i // samples][0].solved_by(text) for i, text in enumerate(responses)]
    return sum(right) / len(right)
