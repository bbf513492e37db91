"""Shared prefixes beside transformers' own forward over the same sequences: same model, same tokens, one process.

A group's teacher prompts come from the selector `contrastive` (2S1F) and the real wording; the teacher's pass computes
each distinct prefix once. Unshared, the same sequences go through transformers' attention, eager and SDPA, one a row
and all in one padded batch, whichever is faster. One side runs, then the other, several times over; tables hold medians.
It also checks that both give the same loss. Beside it: the student's pass, forward and backward, which shares the
question.

    python benchmarks/prefix.py [--threads 2] [--repeats 7]

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
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from mopd_core.chat import encode_chat
from mopd_core.config.sections import ModelConfig, TrainingConfig
from mopd_core.divergences.jsd import JSD
from mopd_core.interfaces import Tokenizer
from mopd_core.peers.context import ContextConfig
from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector
from mopd_core.peers.teacher_prompt import TeacherPrompts
from mopd_core.training import attention
from mopd_core.training.batch import StepBatch, build_step, micro_batches
from mopd_core.training.layout import Ids
from mopd_core.training.models import Head, flat_hidden, load_tokenizer
from mopd_core.types import Message, Prompt, Rollout, RolloutGroup, Verdict

GROUPS = (2, 4, 8, 16, 32)
LENGTHS = (64, 128, 256, 512)
MAX_LOSS_ERROR = 1e-5
BUDGET = TrainingConfig().micro_batch_tokens

Side = Callable[[], Tensor]
"""Runs a pass and returns the final hidden states [n, D] that predict the step's taught tokens, in their order."""


@dataclass(frozen=True, slots=True)
class Case:
    """A group's step: every target's sequence for the teacher and for the student, last token left out."""

    batch: StepBatch
    teacher: tuple[Ids, ...]
    student: tuple[Ids, ...]
    response: int


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
    batch = build_step(groups, [[prompt and prompt.token_ids for prompt in built]])
    taught = [target for target in batch.targets if target.teacher_prompt is not None]
    return Case(
        batch,
        tuple(np.concatenate([t.teacher_prompt, t.response[:-1]]) for t in taught if t.teacher_prompt is not None),
        tuple(np.concatenate([t.prompt, t.response[:-1]]) for t in taught),
        response,
    )


def shared(model: PreTrainedModel, case: Case, which: str) -> Tensor:
    """Our pass, layout included."""
    model.set_attn_implementation(attention.NAME)
    mask = case.batch.tokens.has_context[case.batch.tokens.rollout]
    hidden = torch.zeros(len(mask), model.config.hidden_size)
    found = []
    places = []
    for micro in micro_batches(case.batch, mask, mask, BUDGET):
        layout, rows = (micro.teacher, micro.teacher_rows) if which == "teacher" else (micro.student, micro.student_rows)
        assert layout is not None
        found.append(flat_hidden(model, layout)[rows])
        places.append(micro.tokens)
    order = torch.cat(places).argsort()
    return torch.cat(found)[order]


def unshared(model: PreTrainedModel, sequences: Sequence[Ids], response: int, implementation: str, rows: int) -> Tensor:
    """transformers' pass, `rows` sequences of about one length at a time, padded on the right, where no mask is needed."""
    model.set_attn_implementation(implementation)
    found: dict[int, Tensor] = {}
    by_length = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for start in range(0, len(by_length), rows):
        members = by_length[start : start + rows]
        ids = torch.zeros(len(members), len(sequences[members[-1]]), dtype=torch.int64)
        for row, member in enumerate(members):
            ids[row, : len(sequences[member])] = torch.from_numpy(sequences[member])
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        for row, member in enumerate(members):
            found[member] = hidden[row, len(sequences[member]) - response : len(sequences[member])]
    return torch.cat([found[i] for i in range(len(sequences))])
