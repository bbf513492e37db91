"""`train` and `evaluate`: what the command line, and anyone who embeds the whole run, calls."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from mopd_core.boundary import said_by, sources_named
from mopd_core.config.compose import RunConfig
from mopd_core.config.resume import check_resumable, check_steps
from mopd_core.errors import CheckpointError, TrainingError
from mopd_core.registry import Registries
from mopd_core.tracking.progress import RunProgress
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.tracking.run_log import run_log
from mopd_core.training.checkpoint import Checkpoints, TrainerState
from mopd_core.training.components import Components, build_components, build_inference, check_references
from mopd_core.training.environment import environment
from mopd_core.training.interrupt import Interrupt
from mopd_core.training.loop import Loop
from mopd_core.training.models import StudentWeights, choose_device
from mopd_core.training.ranks import Ranks, joined

log = logging.getLogger(__name__)


def train(
    config: RunConfig, registries: Registries, folder: Path, resume: bool = False, console: Console | None = None
) -> dict[str, Any]:
    """Run to the end, or to an interruption (`finished` is then False), and return what `summary.json` holds.

    folder: the run's folder; a new one, or with `resume` one that holds a run of the same config. `stopped_by` in the
    summary is None, "interrupt" or "guard". Under torchrun every rank calls this; the first one's folder is the run's,
    and only the first one writes to it and to the console. Raises `MopdError`.
    """
    with (
        sources_named(registries),
        joined(config.training, choose_device(config.training)) as ranks,
        _folder(folder, resume, ranks) as run_folder,
        run_log(_log_path(run_folder, ranks)),
        _memory_advice(config),
        ExitStack() as stack,
    ):
        parts = build_components(config, registries, run_folder.path, stack, ranks)
        if resume:
            check_resumable(run_folder.read_config(), config)
        elif ranks.first:
            check_references(parts.router, (*parts.data.train, *parts.data.held_out))
            run_folder.write_config(config.model_dump(mode="json"))
        return _train(parts, run_folder, registries, resume, console if ranks.first else Console(quiet=True))


def _train(
    parts: Components, folder: RunFolder, registries: Registries, resume: bool, console: Console | None
) -> dict[str, Any]:
    checkpoints = Checkpoints(
        folder.checkpoints_path,
        parts.student,
        parts.tokenizer,
        parts.learner.optimiser,
        parts.learner.teacher,
        parts.ranks,
        parts.learner.names.teacher,
    )
    state = _restore(parts, checkpoints, folder) if resume else TrainerState(data=parts.data.digest())
    is_first = parts.ranks.first
    if is_first:
        _record_start(parts, folder, registries, state.step)
        registries.notify("mopd_run_started", folder=folder.path, config=parts.config)
    with RunProgress(parts.config.training.steps, state.step, console) as progress:
        with Interrupt(progress.note) as stop:
            loop = Loop(parts, folder, checkpoints, state, registries, progress, stop)
            _announce(parts, progress)
            summary = loop.summary(loop.run())
            if is_first:
                folder.write_summary(summary)
        loop.close_trackers()
    if is_first:
        registries.notify("mopd_run_finished", folder=folder.path, summary=summary)
    return summary


def _record_start(parts: Components, folder: RunFolder, registries: Registries, step: int) -> None:
    """Add a line to starts.jsonl. No result depends on it, so a run goes on without."""
    try:
        folder.append_start(environment(parts, registries, step))
    except Exception as error:  # Drivers and packages' metadata may fail in any way.
        log.warning("%s lacks this start: %s", folder.starts_path.name, said_by(error), exc_info=True)


def _restore(parts: Components, checkpoints: Checkpoints, folder: RunFolder) -> TrainerState:
    """The newest complete checkpoint's state, with everything after it forgotten; a fresh one where there is none."""
    newest = checkpoints.newest()
    state = TrainerState(data=parts.data.digest()) if newest is None else checkpoints.load(newest)
    _check_continues(parts, state)
    if parts.ranks.first:
        folder.rewind(state.step)
    if newest is None:
        return state
    parts.generator.sync_weights(StudentWeights(parts.student), state.step)
    log.info("resuming after step %d from %s", state.step, newest.name)
    return state


def _check_continues(parts: Components, state: TrainerState) -> None:
    if state.data != parts.data.digest():
        raise CheckpointError(
            "the training prompts are not those that the run was started with: a file has changed, or a tokenizer or "
            "limit leaves out other rows. Restore them, or start a new run in another folder"
        )
    check_steps(state.step, parts.config)


def _announce(parts: Components, progress: RunProgress) -> None:
    config, data = parts.config, parts.data
    progress.note(
        f"{config.training.steps} steps of {config.rollout.prompts} prompts x {config.rollout.group_size} rollouts; "
        f"{len(data.train)} prompts to train on, {len(data.held_out)} held out; "
        f"generator {config.generator.name}, verifier {config.verifier.name}, objective {config.objective.name}"
    )
    if data.left_out:
        longest = config.rollout.max_prompt_tokens
        progress.note(f"{data.left_out} prompts are left out: longer than rollout.max_prompt_tokens = {longest}")
    if not parts.learner.objective.uses_teacher:
        progress.note(
            f"objective {config.objective.name} uses no teacher: selector, context, divergence and teacher rest"
        )


def evaluate(config: RunConfig, registries: Registries) -> dict[str, Any]:
    """Held-out mean@k and pass@k of the model that `config.model` names."""
    with (
        sources_named(registries),
        joined(config.training, choose_device(config.training)) as ranks,
        _memory_advice(config),
        ExitStack() as stack,
    ):
        parts = build_inference(config, registries, None, stack, ranks)
        result = parts.evaluator(parts.data.held_out)
        if result.caveats:
            log.warning("verdicts rest on caveats: %s", "; ".join(result.caveats))
        return {
            **result.scores(),
            "prompts": len(result.outcomes),
            "unknown": result.unknown,
            "tokens": result.tokens,
            "caveats": list(result.caveats),
        }


@contextmanager
def _memory_advice(config: RunConfig) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        training = config.training
        raise TrainingError(
            "the device has no memory left. Set training.gradient_checkpointing, or lower "
            f"training.micro_batch_tokens ({training.micro_batch_tokens}), training.logits_memory_mib "
            f"({training.logits_memory_mib}) or the generator's batch; --resume goes on from the last checkpoint"
        ) from error


def _log_path(folder: RunFolder, ranks: Ranks) -> Path:
    """log.txt, and beside it a log of every other rank."""
    return folder.log_path if ranks.first else folder.log_path.with_name(f"log-rank-{ranks.number}.txt")


@contextmanager
def _folder(path: Path, resume: bool, ranks: Ranks) -> Iterator[RunFolder]:
    """The run's folder, the same for all ranks once the first one has it. Collective."""
    if ranks.first:
        with _locked_folder(path, resume) as folder:
            ranks.broadcast(path)
            yield folder
    else:
        yield RunFolder(ranks.broadcast(path))


@contextmanager
def _locked_folder(path: Path, resume: bool) -> Iterator[RunFolder]:
    """The run's folder, locked; a new one in which no run came to start is removed again, with new parents."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    with RunFolder.resume(path) if resume else RunFolder.create(path) as folder:
        try:
            yield folder
        finally:
            if new and not folder.holds_run():
                shutil.rmtree(path)
                _remove_empty(new[1:])


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, up to one in which somebody else has put something."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
