"""Everything that a run composes, built from its config: plugins, model, data.

`build_inference` is what an evaluation needs, `build_components` what training adds. What is built is closed through
the `ExitStack` that is handed in, also when a later piece cannot be built.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from mopd_core.boundary import plugin_boundary
from mopd_core.config.base import PluginChoice
from mopd_core.config.compose import RunConfig
from mopd_core.config.load import load_routed
from mopd_core.config.sections import SamplingConfig
from mopd_core.contexts import ModelContext, RunContext
from mopd_core.data.check import check_prompts
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.head import HeadLoss, chunk_size
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.errors import ConfigError, DataError, MopdError
from mopd_core.interfaces import Divergence, Generator, Objective, PeerSelector, Teacher, Tracker, Verifier
from mopd_core.output_head import Head
from mopd_core.peers.context import request_summary
from mopd_core.peers.teacher_prompt import TeacherPrompts
from mopd_core.registry import Registries
from mopd_core.training import models, shards
from mopd_core.training.evaluation import Evaluator
from mopd_core.training.learner import Learner, PluginNames
from mopd_core.training.lora import add_adapters
from mopd_core.training.optimiser import build_optimiser
from mopd_core.training.ranks import ALONE, Ranks
from mopd_core.training.rollouts import encode_prompts
from mopd_core.types import Prompt, Sampling, VerifyItem
from mopd_core.verification.router import RoutedItem, VerifierRouter
from mopd_core.verification.scheduler import Scheduler

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataSets:
    """Encoded prompts, and how many were too long to be among them."""

    train: list[Prompt]
    held_out: list[Prompt]
    left_out: int

    def digest(self) -> str:
        """Of the training prompts in their order, so that a resumed run can tell whether its data are the same."""
        rows = [(prompt.id, prompt.messages, prompt.reference) for prompt in self.train]
        return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Inference:
    """What samples from the model and judges it."""

    config: RunConfig
    context: ModelContext
    data: DataSets
    student: PreTrainedModel
    tokenizer: Any
    sampling: Sampling
    generator: Generator
    router: VerifierRouter
    scheduler: Scheduler
    evaluator: Evaluator
    ranks: Ranks


@dataclass(frozen=True, slots=True)
class Components(Inference):
    """What the loop works with."""

    selector: PeerSelector
    teacher_prompts: TeacherPrompts
    learner: Learner
    trackers: list[Tracker]


def _build(registries: Registries, kind: str, choice: PluginChoice, context: RunContext) -> Any:
    with plugin_boundary(f"{kind[:-1]} {choice.name!r}"):
        return registries[kind].build(choice, context)


def _close_later(stack: ExitStack, who: str, close: Callable[[], None]) -> None:
    def guarded() -> None:
        with plugin_boundary(who):
            close()

    stack.callback(guarded)


def _close_tracker(name: str, tracker: Tracker) -> None:
    """What a tracker cannot send any more is no reason for a run to fail."""
    try:
        with plugin_boundary(f"tracker {name!r}"):
            tracker.close()
    except MopdError as error:
        log.warning("%s", error)


def load_data(config: RunConfig, registries: Registries, tokenizer: Any, folder: Path | None) -> DataSets:
    """Both sets of prompts, encoded and checked. Raises `DataError` where there is nothing to train on."""
    source = _build(registries, "datasets", config.data, RunContext(config.seed, registries, folder))
    with plugin_boundary(f"dataset {config.data.name!r}"):
        sets = source.load()
    check_prompts(config.data.name, sets)
    if not sets.train:
        raise DataError(f"the data set {config.data.name!r} has no rows to train on")

    def prepare(prompts: Sequence[Prompt]) -> list[Prompt]:
        asked = [replace(prompt, messages=request_summary(config.context, prompt.messages)) for prompt in prompts]
        drop = config.rollout.overlong_prompts == "drop"
        options = config.model.chat_template_options
        return encode_prompts(asked, config.data.name, tokenizer, options, config.rollout.max_prompt_tokens, drop)

    train, held_out = prepare(sets.train), prepare(sets.held_out)
    return DataSets(train, held_out, len(sets.train) + len(sets.held_out) - len(train) - len(held_out))


def build_router(
    config: RunConfig, registries: Registries, prompts: Iterable[Prompt], context: RunContext
) -> VerifierRouter:
    """The run's verifier, and those that its data routes to; one that is not configured has its defaults."""
    default: PluginChoice = config.verifier
    chosen = {choice.name: choice for choice in (*config.routed_verifiers, default)}
    asked_by: dict[str, str] = {}
    for prompt in prompts:
        if prompt.verifier:
            asked_by.setdefault(prompt.verifier, prompt.id)
    for name in asked_by.keys() - chosen.keys():
        chosen[name] = load_routed(name, asked_by[name], registries)
    wanted = {default.name, *asked_by}
    verifiers: dict[str, Verifier] = {
        name: _build(registries, "verifiers", choice, context) for name, choice in chosen.items() if name in wanted
    }
    return VerifierRouter(default.name, verifiers)


def check_references(router: VerifierRouter, prompts: Sequence[Prompt]) -> None:
    """Have every reference read once, so that bad data stops a run before it starts."""
    items = [
        RoutedItem(VerifyItem("", prompt.reference, prompt.id, prompt.messages), prompt.verifier) for prompt in prompts
    ]
    router.check(items)


def to_sampling(config: SamplingConfig, stop_ids: tuple[int, ...]) -> Sampling:
    """The section as generators take it."""
    return Sampling(config.max_tokens, config.temperature, config.top_p, config.top_k, stop_ids)


def model_length(student: PreTrainedModel) -> int:
    """The longest sequence that the model takes, in tokens."""
    return config_length(student.config)


def config_length(config: Any) -> int:
    """The longest sequence that a model with this config takes, in tokens.

    Some families choose the frequencies of their positions by the longest sequence of a call. Up to the length that
    they were first trained on they do not: beyond it, what a sequence comes to would depend on its neighbours.
    """
    longest = int(getattr(config, "max_position_embeddings", None) or 2**31)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") not in ("dynamic", "longrope"):
        return longest
    original = rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
    return min(longest, int(original or longest))


def _longest_rollout(config: RunConfig) -> int:
    """The most tokens that a prompt and its response may have."""
    responses = config.rollout.sampling.max_tokens, config.evaluation.sampling.max_tokens
    return config.rollout.max_prompt_tokens + max(responses)


def _check_lengths(config: RunConfig, data: DataSets, longest: int) -> None:
    prompt = max((len(prompt.token_ids) for prompt in (*data.train, *data.held_out)), default=0)
    response = max(config.rollout.sampling.max_tokens, config.evaluation.sampling.max_tokens)
    if prompt + response > longest:
        raise ConfigError(
            f"the longest prompt has {prompt} tokens and a response may have {response}, together more than the "
            f"model's {longest}. Lower rollout.sampling.max_tokens and evaluation.sampling.max_tokens, "
            "or rollout.max_prompt_tokens"
        )


def build_inference(
    config: RunConfig,
    registries: Registries,
    folder: Path | None,
    stack: ExitStack,
    ranks: Ranks = ALONE,
    is_sharded: bool = False,
) -> Inference:
    """Data, verifiers, model and generator, in the order of what they cost.

    is_sharded: the weights of the student, and of other models that it loads, are about to be split over the ranks, so
    they are loaded on the CPU.
    """
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    device = models.choose_device(config.training)
    dtype = models.choose_dtype(config.training, device)
    tokenizer = models.load_tokenizer(config.model)
    data = load_data(config, registries, tokenizer, folder)
    prompts = (*data.train, *data.held_out)
    router = build_router(config, registries, prompts, RunContext(config.seed, registries, folder))
    _close_later(stack, "a verifier", router.close)
    scheduler = Scheduler(router, config.rollout.verify_timeout_s)
    stack.callback(scheduler.close)
    home = torch.device("cpu") if is_sharded else device
    student = models.load_model(config.model.path, home, config.model.revision)
    longest = model_length(student)
    _check_lengths(config, data, longest)

    def load_model(path: str) -> PreTrainedModel:
        return models.load_frozen(path, home, config.model.revision if path == config.model.path else None)

    context = ModelContext(
        seed=config.seed,
        registries=registries,
        folder=folder,
        student=student,
        tokenizer=tokenizer,
        model_path=config.model.path,
        device=device,
        compute_dtype=dtype,
        max_length=longest,
        longest_rollout=min(longest, _longest_rollout(config)),
        load_model=load_model,
        model_revision=config.model.revision,
    )
    generator: Generator = _build(registries, "generators", config.generator, context)
    _close_later(stack, f"generator {config.generator.name!r}", generator.close)
    stop_ids = models.stop_ids(student, tokenizer)
    evaluator = Evaluator(
        generator,
        config.generator.name,
        Head(student).vocabulary,
        scheduler,
        to_sampling(config.evaluation.sampling, stop_ids),
        config.evaluation.samples,
        config.rollout.success_threshold,
        config.seed,
        ranks,
    )
    sampling = to_sampling(config.rollout.sampling, stop_ids)
    return Inference(
        config, context, data, student, tokenizer, sampling, generator, router, scheduler, evaluator, ranks
    )


def build_components(
    config: RunConfig, registries: Registries, folder: Path, stack: ExitStack, ranks: Ranks = ALONE
) -> Components:
    """All that training needs; what needs no model comes first, so that bad input stops before one is loaded.

    Only the first rank has trackers.
    """
    light = RunContext(config.seed, registries, folder)
    selector: PeerSelector = _build(registries, "selectors", config.selector, light)
    divergence: Divergence = _build(registries, "divergences", config.divergence, light)
    trackers: list[Tracker] = []
    for choice in config.tracking.trackers if ranks.first else ():
        trackers.append(_build(registries, "trackers", choice, light))
        stack.callback(_close_tracker, choice.name, trackers[-1])
    is_sharded = shards.is_split(config.training, models.choose_device(config.training), ranks)
    inference = build_inference(config, registries, folder, stack, ranks, is_sharded)
    objective: Objective = _build(registries, "objectives", config.objective, inference.context)
    _check_staleness(config, objective)
    room = inference.context.max_length - inference.sampling.max_tokens
    teacher_prompts = TeacherPrompts(config.context, inference.tokenizer, room, config.model.chat_template_options)
    if objective.uses_teacher:
        teacher_prompts.check(inference.data.train)
    return Components(
        **{field.name: getattr(inference, field.name) for field in fields(inference)},
        selector=selector,
        teacher_prompts=teacher_prompts,
        learner=_build_learner(inference, registries, objective, divergence, is_sharded, stack),
        trackers=trackers,
    )


def _check_staleness(config: RunConfig, objective: Objective) -> None:
    staleness = config.rollout.max_staleness
    if staleness > 0 and not getattr(objective, "weighs_importance", False):
        raise ConfigError(
            f"rollout.max_staleness is {staleness}, but objective {config.objective.name!r} does not weigh tokens by "
            "their importance, and would take rollouts of older weights for the student's own; allowed: 0. Set "
            "rollout.max_staleness=0, or have the objective weigh them: distill with -o objective.importance_clip=2 "
            "(the published value), weighted-sum with -o objective.distill.importance_clip=2"
        )


def _build_learner(
    inference: Inference,
    registries: Registries,
    objective: Objective,
    divergence: Divergence,
    is_sharded: bool,
    stack: ExitStack,
) -> Learner:
    """Plugins are given the student as it was loaded: adapters are added, and weights are split, after that."""
    config, context, student = inference.config, inference.context, inference.student
    outcomes = Outcomes(cast("DivergenceConfig", config.divergence))
    teacher: Teacher | None = None
    if objective.uses_teacher:
        told = replace(context, teachers_own=outcomes.teachers_own() or 0)
        teacher = _build(registries, "teachers", config.teacher, told)
        if (close := getattr(teacher, "close", None)) is not None:
            _close_later(stack, f"teacher {config.teacher.name!r}", close)
    if config.model.lora is not None:
        add_adapters(student, config.model.lora, config.seed)
    if config.training.gradient_checkpointing:
        models.enable_checkpointing(student)
    if config.training.compile:
        models.compile_blocks(student)
    if is_sharded:
        _shard(inference, teacher)
    head = Head(student)
    loss = HeadLoss(
        head=head,
        divergence=divergence,
        outcomes=outcomes,
        sampling_temperature=config.rollout.sampling.temperature,
        chunk_tokens=chunk_size(head.vocabulary, config.training.logits_memory_mib),
        divergence_name=f"divergence {config.divergence.name!r}",
        teacher_name=f"teacher {config.teacher.name!r}",
    )
    return Learner(
        student,
        teacher,
        objective,
        loss,
        build_optimiser(student, config.training),
        config.training,
        context.device,
        context.compute_dtype,
        PluginNames(f"objective {config.objective.name!r}", f"teacher {config.teacher.name!r}"),
        inference.ranks,
        is_sharded,
    )


def _shard(inference: Inference, teacher: Teacher | None) -> None:
    """Split the weights of the student, and of the teacher's models, over the ranks."""
    context = inference.context

    def shard(model: nn.Module) -> None:
        shards.shard(model, inference.ranks, context.device, context.compute_dtype)

    shard(inference.student)
    if teacher is None:
        return
    who = f"teacher {inference.config.teacher.name!r}"
    of_teacher = getattr(teacher, "shard", None)
    if of_teacher is None:
        raise ConfigError(
            f"{who} has no method `shard`, so it cannot follow a student whose weights are split over "
            f"{inference.ranks.count} ranks; set training.parallel=ddp, or choose another teacher"
        )
    with plugin_boundary(who):
        of_teacher(shard)
