"""Ten steps of training on however many ranks run this: `python two_ranks.py FOLDER` under torchrun, or `train` alone.

Nothing here is a test: `test_two_ranks` compares what one process and two make of the same scenarios.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import LlamaConfig

from mopd_core.bundled.chat import build_tokenizer
from mopd_core.config.sections import LoraConfig, TrainingConfig
from mopd_core.divergences.config import JSDConfig
from mopd_core.divergences.head import HeadLoss
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.objectives.config import DistillConfig, GrpoConfig, WeightedSumConfig
from mopd_core.objectives.distill import Distill
from mopd_core.objectives.grpo import Grpo
from mopd_core.objectives.weighted_sum import WeightedSum
from mopd_core.output_head import Head
from mopd_core.teachers.ema import EmaTeacher
from mopd_core.teachers.live import LiveTeacher
from mopd_core.testing.tiny import NumberTokenizer, tiny_config, tiny_student
from mopd_core.training import shards
from mopd_core.training.batch import build_step
from mopd_core.training.checkpoint import Checkpoints, TrainerState
from mopd_core.training.learner import Learner
from mopd_core.training.lora import add_adapters
from mopd_core.training.models import StudentWeights, enable_checkpointing
from mopd_core.training.optimiser import build_optimiser
from mopd_core.training.ranks import joined
from mopd_core.types import Prompt, Rollout, RolloutGroup, Verdict

CPU = torch.device("cpu")
STEPS, HALF, LONELY = 10, 5, 7
"""LONELY: the step in which a single rollout can be trained on."""

SCENARIOS = {
    "ddp": {"parallel": "ddp"},
    "fsdp": {"parallel": "fsdp", "save": True},
    "fsdp, scores, small micro-batches": {"parallel": "fsdp", "objective": "weighted-sum", "micro": 60},
    "fsdp, untied, recomputed, live": {"parallel": "fsdp", "tied": False, "recompute": True, "teacher": "live"},
    "fsdp, adapters": {"parallel": "fsdp", "lora": True, "save": True},
    "ddp, adapters on an untied head": {"parallel": "ddp", "tied": False, "lora": ("q_proj", "lm_head"), "save": True},
}

OBJECTIVES = {
    "distill": lambda: distill(),
    "weighted-sum": lambda: WeightedSum(WeightedSumConfig(), distill(importance_clip=2.0), Grpo(GrpoConfig())),
}


def distill(**options):
    return Distill(DistillConfig(**options), NumberTokenizer())


def make_batch(step):
    """5 prompts x 3 rollouts of odd lengths, a third of them without a context."""
    rng = np.random.default_rng(step)
    draw = partial(rng.integers, 2, 280, dtype=np.int32)
    groups, shown = [], []
    for number in range(5):
        prompt = Prompt(f"{number}", (), token_ids=draw(8 + 5 * number))
        ids = [draw(int(n)) for n in rng.integers(1, 14, 3)]
        rollouts = [
            Rollout(i, rng.uniform(-6, -4, len(i)).astype(np.float32), "", "stop", 0, np.ones(len(i), np.bool_))
            for i in ids
        ]
        verdicts = (Verdict(1.0, "passed"), Verdict(0.0, "failed"), Verdict(0.25, "failed"))
        groups.append(RolloutGroup(prompt, tuple(rollouts), verdicts))
        context = np.concatenate([draw(17), prompt.token_ids])
        lonely = step == LONELY and number != 2
        shown.append([None if lonely or (index + number) % 3 == 0 else context for index in range(3)])
    if step == LONELY:
        shown[2] = [None, context, None]
    return build_step(groups, shown)


class Trainee:
    """A student in training, alone or split over ranks, with what is saved of it."""

    def __init__(self, ranks, folder, scenario):
        options = SimpleNamespace(
            **{"objective": "distill", "micro": 500, "tied": True, "recompute": False, "teacher": "ema", "lora": None}
            | scenario
        )
        config = TrainingConfig(
            lr=1e-3, micro_batch_tokens=options.micro, parallel=options.parallel, steps=STEPS, warmup_steps=0
        )
        tied = tiny_config(vocab_size=300)
        student = tiny_student(
            tied if options.tied else tiny_config(LlamaConfig, vocab_size=300, tie_word_embeddings=False)
        )
        teacher = LiveTeacher(student) if options.teacher == "live" else EmaTeacher(student, 0.2)
        if options.lora:
            names = {} if options.lora is True else {"target_modules": options.lora}
            add_adapters(student, LoraConfig(rank=3, alpha=12, **names), seed=4)
        if options.recompute:
            enable_checkpointing(student)
        is_sharded = shards.is_split(config, CPU, ranks)
        if is_sharded:
            shards.shard(student, ranks, CPU, torch.float32)
            teacher.shard(lambda model: shards.shard(model, ranks, CPU, torch.float32))
        loss = HeadLoss(Head(student), JSD(0.5), Outcomes(JSDConfig()), 1.0, 11)
        objective, optimiser = OBJECTIVES[options.objective](), build_optimiser(student, config)
        self.learner = Learner(
            student, teacher, objective, loss, optimiser, config, CPU, torch.float32, ranks=ranks, is_sharded=is_sharded
        )
        tokenizer = build_tokenizer(["12 + 3"] * 5, 280, max_length=128)
        self.checkpoints = Checkpoints(folder, student, tokenizer, optimiser, teacher, ranks)

    def train(self, first, last):
        """Steps `first` to `last`: their metrics and per-token values."""
        updates = []
        for step in range(first, last + 1):
            update = self.learner.learn(make_batch(step), 1e-3)
            self.learner.teacher.update(self.learner.student)
            updates.append({"metrics": update.metrics, "values": update.values, "outcome": update.outcome})
        return updates

    def weights(self):
        """The student's, merged, and the teacher's, whole."""
        teacher = {name: shards.whole(value.detach()) for name, value in self.learner.teacher.state_dict().items()}
        student = {name: value.clone() for name, value in StudentWeights(self.learner.student).named_tensors()}
        return {"student": student, "teacher": {name: value.clone() for name, value in teacher.items()}}


def train(ranks, folder, scenario):
    """All steps of a scenario, saved half-way where it says so."""
    trainee = Trainee(ranks, folder, scenario)
    updates = trainee.train(1, HALF)
    if scenario.get("save"):
        trainee.checkpoints.save(TrainerState(step=HALF, tokens=17))
    return {"updates": updates + trainee.train(HALF + 1, STEPS), **trainee.weights()}


def go_on(ranks, folder, scenario):
    """The second half of a scenario, from what was saved."""
    trainee = Trainee(ranks, folder, scenario)
    state = trainee.checkpoints.load(trainee.checkpoints.newest())
    assert state == TrainerState(step=HALF, tokens=17)
    return {"updates": trainee.train(HALF + 1, STEPS), **trainee.weights()}


def main(folder: Path, scenarios: Mapping[str, Mapping[str, object]] = SCENARIOS) -> None:
    """Every scenario from its start, then those that one rank has saved from their middle; to `folder`/results.pt."""
    torch.set_num_threads(1)
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(TrainingConfig(), CPU))
        results = {}
        for number, (name, scenario) in enumerate(scenarios.items()):
            results[name] = {"whole": train(ranks, folder / "two" / str(number), scenario)}
            if scenario.get("save"):
                results[name]["resumed"] = go_on(ranks, folder / "one" / str(number), scenario)
        if ranks.first:
            torch.save(results, folder / "results.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
