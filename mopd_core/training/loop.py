"""The loop: rollout, verify, select, inspect, score, update, teacher update, sync, evaluate, save.

`Loop.run` reads top to bottom. What a stage does is in the module that it calls. Every rank runs the whole loop: it
samples and judges its share of the prompts, then knows the whole step; only the first one writes and speaks. Sampling
may run ahead of it: then `time/generate_s` is what the loop waited for rollouts, `time/generate_busy_s` what sampling
them took, and syncing and evaluating wait for the sampling of a later step to end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from mopd_core.boundary import plugin_boundary, with_sources
from mopd_core.config.compose import RunConfig
from mopd_core.data.order import prompts_for_step
from mopd_core.errors import MopdError, TrainingError
from mopd_core.registry import Registries
from mopd_core.tracking.progress import RunProgress
from mopd_core.tracking.rows import TokenValues, rollout_rows
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.training import rollouts as stage
from mopd_core.training.ahead import Ahead, staleness_metrics
from mopd_core.training.batch import StepBatch, build_step
from mopd_core.training.canary import Canary, probe_of
from mopd_core.training.checkpoint import Checkpoints, TrainerState
from mopd_core.training.components import Components
from mopd_core.training.diagnostics import Diagnostics
from mopd_core.training.evaluation import Evaluation
from mopd_core.training.inspection import Inspected
from mopd_core.training.interrupt import Interrupt
from mopd_core.training.layout import Ids
from mopd_core.training.learner import DivergenceError, Update
from mopd_core.training.models import StudentWeights
from mopd_core.training.optimiser import learning_rate
from mopd_core.training.ranks import Ranks
from mopd_core.types import Prompt, RolloutGroup, StepRecord
from mopd_core.verification.groups import PendingGroups, caveats_of

StopReason = Literal["interrupt", "guard"]

UNSAVED = ("student_mass", "teacher_mass")
"""Values a token that only a step's means are kept of."""

MAX_NON_FINITE = 3
"""Steps in a row with a loss or gradient that is not finite after which a run stops."""


@dataclass(slots=True)
class Clock:
    """Seconds by phase of the present step; verification is a phase once generation has ended."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    def metrics(self) -> dict[str, float]:
        return {f"time/{phase}_s": seconds for phase, seconds in self.seconds.items()}


@dataclass(slots=True)
class Loop:
    """One run, from the state that it was given."""

    parts: Components
    folder: RunFolder
    checkpoints: Checkpoints
    state: TrainerState
    registries: Registries
    progress: RunProgress
    interrupt: Interrupt
    after: Evaluation | None = None
    _caveats: set[str] = field(default_factory=set)
    _mismatch: float = 0.0
    _failure: MopdError | None = None
    _updates: list[int] = field(default_factory=list)
    _suspect: str | None = None
    _failed_trackers: set[str] = field(default_factory=set)
    _ahead: Ahead[PendingGroups] = field(init=False)
    _canary: Canary = field(init=False)
    _diagnostics: Diagnostics = field(init=False)

    def __post_init__(self) -> None:
        config, context = self.config, self.parts.context
        self._canary = Canary(
            config.generator.name,
            probe_of(self.parts.data.train),
            context.device,
            context.compute_dtype,
            config.rollout.canary_tolerance,
        )
        self._ahead = Ahead(
            self._sample, config.training.steps, config.rollout.max_staleness, self.parts.context.device
        )
        history = self.folder.read_metrics() if self.ranks.first else []
        self._diagnostics = Diagnostics(self.parts, history, self.progress.note)

    @property
    def config(self) -> RunConfig:
        return self.parts.config

    @property
    def ranks(self) -> Ranks:
        return self.parts.ranks

    def run(self) -> StopReason | None:
        """Train to the last step (None), or until something stops the run with its state saved: what did."""
        if not self.state.before:
            before = self._evaluate_all()
            self.state.before, self.state.best_score = before.scores(), self._watched(before).mean
        with closing(self._ahead):
            return self._train()

    def _train(self) -> StopReason | None:
        self._compare(self.state.step)
        while self.state.step < self.config.training.steps and not self._asked_to_stop():
            started = time.perf_counter()
            step = self.state.step + 1
            metrics = self._step(step)
            self.state.step = step
            evaluation = self._try_to_evaluate(step)
            if evaluation is not None:
                metrics |= {f"evaluation/{name}": value for name, value in evaluation.scores().items()}
            self.state.seconds += time.perf_counter() - started
            self._record(StepRecord(step, metrics))
            if self._failure is not None:
                self._save_finished()
                raise self._failure
            guarded = self._diagnostics.guard(step, metrics)
            guarded |= evaluation is not None and self._judge(evaluation)
            if guarded or step == self.config.training.steps or self._is_save_due(step):
                self.checkpoints.save(self.state)
            if self.state.non_finite_in_a_row >= MAX_NON_FINITE:
                self.checkpoints.save(self.state)
                raise TrainingError(self._non_finite_text())
            if guarded:
                return "guard"
        if self.state.step == self.config.training.steps:
            return None
        self._save_finished()
        return "interrupt"

    def _save_finished(self) -> None:
        """Save the state after the last finished step, if there is one. Collective."""
        if self.state.step > 0:
            self.checkpoints.save(self.state)

    def _asked_to_stop(self) -> bool:
        """Whether any rank was: a signal does not reach all of them in the same step."""
        return self.ranks.any(self.interrupt.requested)

    def _step(self, step: int) -> dict[str, float]:
        config, clock = self.config, Clock()
        started = time.perf_counter()
        groups = self._take(step, clock)
        self._note_caveats(groups)
        metrics = stage.group_metrics(groups)
        with self._phase(clock, "context"):
            contexts = self._contexts(groups, step, metrics)
            batch = build_step(groups, _token_ids(contexts))
        with self._phase(clock, "diagnose"):
            inspected = self._diagnostics.inspect(step, groups, contexts, batch)
        with self._phase(clock, "learn"):
            update = self._learn(batch, step)
        with self._phase(clock, "diagnose"):
            length = metrics["rollout/length_mean"]
            metrics |= self._diagnostics.metrics(groups, contexts, batch, update.values, inspected, length)
        if config.rollout.max_staleness > 0:
            logprobs, behaviour_logprobs = update.values["logprobs"], batch.tokens.behaviour_logprobs
            metrics |= staleness_metrics(groups, self._updates, logprobs, behaviour_logprobs)
        if update.outcome == "trained":
            try:
                metrics |= self._follow(step, clock)
            except MopdError as error:
                if self.ranks.count > 1:  # Others may be in the middle of it.
                    raise
                self._failure = error
        self._ahead.finished(step)
        with self._phase(clock, "record"):
            self._save_rollouts(step, groups, contexts, batch, update, inspected)
        tokens = sum(len(rollout.token_ids) for group in groups for rollout in group.rollouts)
        self.state.rollouts += sum(len(group) for group in groups)
        self.state.tokens += tokens
        total = time.perf_counter() - started
        return metrics | update.metrics | clock.metrics() | {"time/step_s": total, "time/tokens_per_s": tokens / total}

    def _take(self, step: int, clock: Clock) -> list[RolloutGroup]:
        """The step's groups. Where some rank has none, the state is saved before it raises why, and the others end."""
        share: list[RolloutGroup] = []
        error: Exception | None = None
        try:
            with self._phase(clock, "generate"):
                sampled = self._ahead.take(step)
            with self._phase(clock, "verify"):
                share = sampled.rollouts.groups(self.config.rollout.success_threshold)
            clock.seconds["verify_busy"] = sampled.rollouts.busy_s()
            if self.config.rollout.max_staleness > 0:
                clock.seconds["generate_busy"] = sampled.seconds
        except (MopdError, torch.OutOfMemoryError) as raised:
            error = raised
        with self._phase(clock, "verify"):
            if self.ranks.any(error is not None):
                self._save_finished()
                raise SystemExit(1) if error is None else error
            return self.ranks.merge(share)

    def _sample(self, step: int, is_wanted: Callable[[], bool]) -> PendingGroups:
        """This rank's share of a step's rollouts; in the background where rollouts are sampled ahead."""
        parts, config = self.parts, self.config
        order = prompts_for_step(len(parts.data.train), config.rollout.prompts, step, config.seed)
        prompts = [parts.data.train[row] for row in order]
        seeds = stage.training_seeds(prompts, config.rollout.group_size, config.seed, step)
        share, share_seeds = self.ranks.mine(prompts), self.ranks.mine(seeds)
        return stage.sample(
            parts.generator,
            config.generator.name,
            share,
            parts.sampling,
            share_seeds,
            parts.scheduler,
            parts.learner.loss.head.vocabulary,
            is_wanted,
        )

    @contextmanager
    def _phase(self, clock: Clock, name: str) -> Iterator[None]:
        self.progress.phase(name)
        with clock(name):
            yield

    def _note_caveats(self, groups: list[RolloutGroup]) -> None:
        for caveat in caveats_of(groups):
            if caveat not in self._caveats:
                self._caveats.add(caveat)
                self.progress.note(f"verdicts rest on a caveat: {caveat}")

    def _contexts(self, groups: list[RolloutGroup], step: int, metrics: dict[str, float]) -> stage.Contexts:
        parts, config = self.parts, self.config
        if not parts.learner.objective.uses_teacher:
            return stage.Contexts([[] for _ in groups], [[None] * len(group) for group in groups])
        contexts = stage.choose_contexts(
            groups, parts.selector, parts.teacher_prompts, seed=config.seed, step=step, name=config.selector.name
        )
        metrics |= stage.context_metrics(contexts)
        return contexts

    def _learn(self, batch: StepBatch, step: int) -> Update:
        try:
            update = self.parts.learner.learn(batch, learning_rate(self.config.training, step))
        except MopdError as error:
            if self.ranks.count == 1 or isinstance(error, DivergenceError):  # Else others may be in the middle of it.
                self._save_finished()
            raise
        state = self.state
        state.non_finite_in_a_row = state.non_finite_in_a_row + 1 if update.outcome == "non-finite" else 0
        if update.outcome != "trained":
            state.skipped_steps += 1
        if update.outcome == "non-finite":
            self._suspect = update.suspect and with_sources(update.suspect, self.registries)
            why = f" ({self._suspect})" if self._suspect else ""
            self.progress.note(f"step {step}: loss or gradient is not finite; the step is skipped{why}")
        if update.outcome == "nothing":
            self.progress.note(f"step {step}: {self._nothing_text(batch)}; the step trains on nothing")
        update.metrics["train/skipped_steps"] = float(state.skipped_steps)
        self._note_mismatch(step, update.metrics.get("policy/mismatch_mean", 0.0))
        return update

    def _note_mismatch(self, step: int, mismatch: float) -> None:
        """Once for every time that it rises above the alarm."""
        alarm = self.config.rollout.mismatch_alarm
        if mismatch > alarm >= self._mismatch:
            self.progress.note(
                f"step {step}: log-probabilities of sampled tokens differ by {mismatch:.3g} nats on average between "
                f"generator and trainer; the alarm is at {alarm:g} (rollout.mismatch_alarm). Rollouts of older "
                "weights, other precision or other kernels make for that"
            )
        self._mismatch = mismatch

    def _nothing_text(self, batch: StepBatch) -> str:
        if not bool((batch.tokens.reward >= self.config.rollout.success_threshold).any()):
            return "no rollout succeeded"
        return "no rollout has a context to show" if self.parts.learner.objective.uses_teacher else "nothing to learn"

    def _follow(self, step: int, clock: Clock) -> dict[str, float]:
        """The teacher follows the student, and the generator takes its weights: what the canary says of that."""
        parts = self.parts
        with ExitStack() as stack:
            with self._phase(clock, "sync"):
                if parts.learner.teacher is not None:
                    with plugin_boundary(f"teacher {self.config.teacher.name!r}"):
                        parts.learner.teacher.update(parts.student)
                stack.enter_context(self._ahead.paused())
                with plugin_boundary(f"generator {self.config.generator.name!r}"):
                    parts.generator.sync_weights(StudentWeights(parts.student), step)
            with self._phase(clock, "canary"):
                metrics = self._compare(step)
        self._updates.append(step)
        return metrics

    def _compare(self, version: int) -> dict[str, float]:
        """Metrics of the canary, if the generator can score. Raises `GeneratorError` where it has other weights."""
        score = getattr(self.parts.generator, "score", None)
        if score is None:
            return {}
        score_each = getattr(self.parts.generator, "score_each", None)
        trainer = self._canary.trainer_scores(self.parts.student)
        with plugin_boundary(f"generator {self.config.generator.name!r}"):
            probe = self._canary.probe
            told = [score(probe)] if score_each is None else score_each(probe)
            places = [[np.asarray(each) for each in scores] for scores in told]
        return self._canary.check_each(trainer, places, version)

    def _save_rollouts(
        self,
        step: int,
        groups: list[RolloutGroup],
        contexts: stage.Contexts,
        batch: StepBatch,
        update: Update,
        inspected: Sequence[Inspected],
    ) -> None:
        every = self.config.tracking.rollouts_every
        if not self.ranks.first or not every or step % every:
            return
        values_by_name = {**update.values, "behaviour_logprobs": batch.tokens.behaviour_logprobs}
        by_name = {name: value.numpy() for name, value in values_by_name.items() if name not in UNSAVED}
        values = TokenValues(by_name, {(target.group, target.index): target.span for target in batch.targets})
        rows = rollout_rows(groups, contexts.selections, values, self._diagnostics.rows(inspected))
        self.folder.write_rollouts(step, rows)

    def _record(self, record: StepRecord) -> None:
        if not self.ranks.first:
            return
        self.folder.append_metrics(record.step, record.metrics)
        for choice, tracker in zip(self.config.tracking.trackers, self.parts.trackers, strict=True):
            self._track(choice.name, partial(tracker.log, record))
        self.registries.notify("mopd_step_finished", step=record)
        self.progress.step_done(record)

    def close_trackers(self) -> None:
        """Have every tracker finish what it sends, while there is somebody to tell that it could not."""
        for choice, tracker in zip(self.config.tracking.trackers, self.parts.trackers, strict=False):
            self._track(choice.name, tracker.close)

    def _track(self, name: str, call: Callable[[], None]) -> None:
        """A tracker only mirrors: what it raises stops nothing. It is said once, and logged every time."""
        try:
            with plugin_boundary(f"tracker {name!r}"):
                call()
        except MopdError as error:
            if name not in self._failed_trackers:
                self._failed_trackers.add(name)
                said = with_sources(str(error), self.registries)
                self.progress.note(f"warning: {said}. The run goes on; its metrics.jsonl has every step")

    def _evaluate_on(self, prompts: Sequence[Prompt]) -> Evaluation:
        self.progress.phase("evaluate")
        with self._ahead.paused():
            evaluation = self.parts.evaluator(prompts)
        if self.ranks.first:
            self.folder.write_evaluation(self.state.step, evaluation.samples, evaluation.outcomes)
        return evaluation

    def _evaluate_all(self) -> Evaluation:
        return self._evaluate_on(self.parts.data.held_out)

    def _watched(self, evaluation: Evaluation) -> Evaluation:
        """The prompts that are evaluated during the run: only those are compared from step to step."""
        return evaluation.first(self.config.evaluation.prompts)

    def _try_to_evaluate(self, step: int) -> Evaluation | None:
        if self._failure is not None:
            return None
        try:
            return self._evaluate(step)
        except MopdError as error:
            if self.ranks.count > 1:
                raise
            self._failure = error
            return None

    def _evaluate(self, step: int) -> Evaluation | None:
        """The watched held-out prompts, where an evaluation is due; after the last step, all are evaluated."""
        if step == self.config.training.steps:
            self.after = self._evaluate_all()
            return self._watched(self.after)
        every = self.config.evaluation.every
        if not every or step % every:
            return None
        return self._evaluate_on(self.parts.data.held_out[: self.config.evaluation.prompts])

    def _judge(self, evaluation: Evaluation) -> bool:
        """Remember the best evaluation; whether the guard stops the run."""
        state, config = self.state, self.config.evaluation
        if evaluation.mean > state.best_score:
            state.best_step, state.best_score = state.step, evaluation.mean
        fallen = state.best_score - evaluation.mean
        if config.guard == "off" or fallen < config.guard_drop:
            return False
        advice = "stopping" if config.guard == "stop" else "going on; evaluation.guard=stop would stop here"
        self.progress.note(
            f"step {state.step}: held-out mean@{config.samples} is {evaluation.mean:.3f}, {fallen:.3f} below its best "
            f"of {state.best_score:.3f} at step {state.best_step}: the student may be collapsing. Lower training.lr; "
            f"{advice}"
        )
        return config.guard == "stop"

    def _is_save_due(self, step: int) -> bool:
        return step % self.config.training.save_every == 0 or self.state.best_step == step

    def _non_finite_text(self) -> str:
        return (
            f"the loss or its gradient was not finite in {MAX_NON_FINITE} steps in a row; the state after step "
            f"{self.state.step} is saved in {self.checkpoints.folder}. "
            + (f"{self._suspect}. " if self._suspect else "")
            + "Lower training.lr, or choose another divergence; then resume or start again"
        )

    def _best(self) -> dict[str, float]:
        return {"step": self.state.best_step, f"mean@{self.config.evaluation.samples}": self.state.best_score}

    def summary(self, stopped_by: StopReason | None) -> dict[str, Any]:
        """What `summary.json` holds; `after` is null in a run that did not finish."""
        state = self.state
        if stopped_by is None and self.after is None:
            self.after = self._evaluate_all()
        return {
            "finished": stopped_by is None,
            "stopped_by": stopped_by,
            "before": state.before,
            "after": self.after.scores() if self.after else None,
            "best": self._best() if state.before else None,
            "held_out_prompts": len(self.parts.data.held_out),
            "steps": state.step,
            "skipped_steps": state.skipped_steps,
            "rollouts": state.rollouts,
            "tokens": state.tokens,
            "seconds": round(state.seconds, 3),
        }


def _token_ids(contexts: stage.Contexts) -> list[list[Ids | None]]:
    return [[None if prompt is None else prompt.token_ids for prompt in row] for row in contexts.prompts]
