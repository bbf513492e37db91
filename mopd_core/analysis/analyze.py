"""`mopd analyze`: how well a teacher's scores rank runs' saved rollouts under each context, and how varied they are.

Of one run everything goes to its folder, under `analysis/`. Needs torch; what it prints is up to the caller.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mopd_core.analysis import signal_report, variety_report
from mopd_core.analysis.bootstrap import LEVEL, RESAMPLES
from mopd_core.analysis.contexts import BASELINE, CONTROL, DEFAULTS, NamedContext, named_contexts
from mopd_core.analysis.rescore import GroupScores, Rescorer
from mopd_core.analysis.saved_groups import SavedStep, choose_steps, read_step
from mopd_core.analysis.teacher_signal import JudgedGroup, length_baseline, signal_rows
from mopd_core.analysis.variety import variety_rows
from mopd_core.config.compose import RunConfig
from mopd_core.config.load import load_config
from mopd_core.errors import ConfigError, TrainingError
from mopd_core.peers.teacher_prompt import TeacherPrompts
from mopd_core.registry import Registries
from mopd_core.tracking.atomic import write_atomically
from mopd_core.tracking.json_text import to_text
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.training import models
from mopd_core.training.saved_teacher import load_teacher

FOLDER = "analysis"
"""Of a run's folder: where its analysis and its scores are."""

LENGTH = "shortest first"
"""The row that asks no teacher."""

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What came of it: a Markdown report, the same numbers for JSON, and the folder that holds all files."""

    markdown: str
    numbers: dict[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True)
class _Scored:
    """A run with the scores of its groups, end to end, by context."""

    run: str
    teacher: str
    steps: Sequence[SavedStep]
    scores: Mapping[str, list[GroupScores]]


def analyze(
    paths: Sequence[Path],
    registries: Registries,
    *,
    contexts: Iterable[str] = (),
    minus: Iterable[str] = (),
    teacher: str = "last",
    steps: str | None = None,
    out: Path | None = None,
    options: Iterable[str] = (),
    note: Note = lambda text: None,
) -> Analysis:
    """Score the saved rollouts of runs, and write tables and figures of all of them together.

    contexts: names as `named_contexts` takes them, else `DEFAULTS`. minus: those that the others are compared with,
    besides `none` and the control. teacher: as `load_teacher` takes it, for each run. steps: as `choose_steps` takes
    them. out: the folder to write to; by default `analysis/` in the run's folder, and wanted for several runs. options:
    `path=value` changes to the runs' configs, such as `training.device=cpu`. note: hears what is being done. Scores
    stay in each run's `analysis/`. Raises `MopdError`.
    """
    if out is None and len(paths) > 1:
        raise ConfigError("an analysis of several runs belongs to none of them; name a folder for it with --out")
    names, references = list(contexts) or list(DEFAULTS), [*dict.fromkeys((BASELINE, CONTROL, *minus))]
    unmeasured = [name for name in references if name not in (*names, BASELINE, CONTROL)]
    if unmeasured:
        raise ConfigError(f"--minus {unmeasured[0]}: it is not among the contexts, which are {', '.join(names)}")
    scored = [_score(path, registries, names, teacher, steps, list(options), note) for path in paths]
    return _report(out or paths[0] / FOLDER, scored, references)


def _score(
    path: Path,
    registries: Registries,
    contexts: Sequence[str],
    teacher: str,
    steps: str | None,
    options: Sequence[str],
    note: Note,
) -> _Scored:
    folder = RunFolder.open(path)
    config = load_config(None, registries, options=options, stored=folder.read_config())
    named = named_contexts(contexts, registries, config.seed)
    chosen = choose_steps(folder, steps, config.rollout.prompts)
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    tokenizer = models.load_tokenizer(config.model)
    saved = [read_step(folder, step, tokenizer, config.model.chat_template_options) for step in chosen]
    with ExitStack() as stack:
        loaded = load_teacher(teacher, config, registries, folder, tokenizer, stack)
        room = loaded.max_length - config.rollout.sampling.max_tokens
        builder = TeacherPrompts(config.context, tokenizer, room, config.model.chat_template_options)
        identity = _identity(loaded.identity, config, builder.budget)
        rescorer = Rescorer(loaded.scorer, builder, config.seed, folder.path / FOLDER / "scores", identity)
        run = path.resolve().name
        note(f"{run}: {loaded.label}; {sum(len(step.groups) for step in saved)} groups of {len(saved)} steps")
        scores = {context.name: _scores(rescorer, context, saved, note) for context in named}
    return _Scored(run, loaded.label, saved, scores)


def _identity(teacher: str, config: RunConfig, budget: int) -> str:
    """What decides on scores beside the rollouts, the context and the seed."""
    parts = [
        teacher,
        config.context.model_dump(mode="json"),
        dict(config.model.chat_template_options),
        budget,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _scores(rescorer: Rescorer, context: NamedContext, steps: Sequence[SavedStep], note: Note) -> list[GroupScores]:
    """Of all groups of all steps, end to end."""
    found: list[GroupScores] = []
    for number, step in enumerate(steps, start=1):
        note(f"{context.name}: step {step.step} ({number} of {len(steps)})")
        try:
            found += rescorer(context, step)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                "the device has no memory left; lower training.micro_batch_tokens or training.logits_memory_mib with "
                "-o, or set -o training.device=cpu. What was scored is kept, and is not scored again"
            ) from error
    return found


def _report(target: Path, scored: Sequence[_Scored], references: Sequence[str]) -> Analysis:
    steps = [step for run in scored for step in run.steps]
    judged = [JudgedGroup.of(group) for step in steps for group in step.groups]
    scores = {name: [group for run in scored for group in run.scores[name]] for name in scored[0].scores}
    signal = signal_rows(judged, {**scores, LENGTH: length_baseline(judged)}, references)
    variety = variety_rows(steps)
    about = {
        "run": ", ".join(run.run for run in scored),
        "teacher": ", ".join(dict.fromkeys(run.teacher for run in scored)),
        "steps": sorted({step.step for step in steps}),
        "prompts": len({group.prompt for group in judged}),
        "groups": len(judged),
        "rollouts": sum(len(group.rewards) for group in judged),
        "unknown": int(sum((~group.known).sum() for group in judged)),
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "over": "prompts"},
    }
    numbers = about | {"signal": signal_report.as_json(signal), "diversity": variety_report.as_json(variety)}
    markdown = f"{_heading(about)}\n{signal_report.markdown(signal)}\n{variety_report.markdown(variety)}"
    files = {
        "analysis.md": markdown,
        "analysis.json": to_text(numbers),
        "signal.csv": signal_report.as_csv(signal),
        "diversity.csv": variety_report.as_csv(variety),
    }
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomically(target / name, text.encode())
    signal_report.draw(signal, target)
    variety_report.draw(variety, target)
    return Analysis(markdown, json.loads(to_text(numbers)), target)


def _heading(about: dict[str, Any]) -> str:
    steps = about["steps"]
    span = f"step {steps[0]}" if len(steps) == 1 else f"{len(steps)} steps, {steps[0]} to {steps[-1]}"
    unknown = f", {about['unknown']} of them not judged" if about["unknown"] else ""
    return (
        f"# Analysis of {about['run']}\n\n{about['teacher']}; {about['rollouts']} rollouts{unknown} of "
        f"{about['prompts']} prompts, {span}. In brackets: {LEVEL:.0%} bootstrap intervals over prompts.\n"
    )
