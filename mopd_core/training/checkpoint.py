"""Checkpoints: a Hugging Face model folder with the trainer's state beside it, complete or absent.

    checkpoints/step-000012/   config.json, model.safetensors, tokenizer files, generation_config.json
        trainer/               state.json, and what `trainer_state` keeps there
        manifest.json          the step and a SHA-256 of every other file
    checkpoints/last, best     links to the newest one and to the best on the held-out prompts

A folder is written under a temporary name and renamed once its manifest is on disk. The first rank writes it; where
weights are split over ranks, all of them add their parts, and have to see the same file system.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from mopd_core.errors import CheckpointError
from mopd_core.interfaces import Teacher
from mopd_core.tracking.atomic import atomic_folder, link_atomically
from mopd_core.training.models import StudentWeights
from mopd_core.training.ranks import ALONE, Ranks
from mopd_core.training.trainer_state import TrainerFiles, copy_all

MANIFEST = "manifest.json"


@dataclass(slots=True)
class TrainerState:
    """What a resumed run has to know beside tensors. Randomness is derived, so there is none of it here.

    best_step, best_score: of the evaluation with the highest mean@k; step 0 is before training. data: a digest of the
    training prompts.
    """

    step: int = 0
    best_step: int = 0
    best_score: float = -1.0
    data: str = ""
    non_finite_in_a_row: int = 0
    skipped_steps: int = 0
    rollouts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    before: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of a run and what is saved in them. `teacher` is None where the objective uses none.

    who: what to call the teacher in an error.
    """

    folder: Path
    student: nn.Module
    tokenizer: Any
    optimiser: torch.optim.Optimizer
    teacher: Teacher | None
    ranks: Ranks = ALONE
    who: str = "the teacher"

    def save(self, state: TrainerState) -> Path:
        """Write the checkpoint of `state.step`, link it as the last, and remove all but the last and the best.

        Collective, as `load` and `newest` are; it is complete when the first rank returns.
        """
        target = self.folder / f"step-{state.step:06d}"
        if not self.ranks.broadcast(self.ranks.first and is_complete(target)):
            with self._new_folder(target) as folder:
                self._write(folder, state)
        if self.ranks.first:
            link_atomically(self.folder / "last", target)
            if state.best_step == state.step:
                link_atomically(self.folder / "best", target)
            self._prune(keep={state.step, state.best_step})
        return target

    def load(self, folder: Path) -> TrainerState:
        """Take the optimiser, the teacher and the student's weights from a checkpoint, of any number of ranks."""
        trainer, files = folder / "trainer", self._files()
        if not files.hold_weights(trainer):
            self._read_weights(folder)
        files.read(trainer)
        return TrainerState(**json.loads((trainer / "state.json").read_text()))

    def newest(self) -> Path | None:
        """The newest checkpoint whose files are what its manifest says."""
        complete = (path for path in reversed(self._all()) if is_complete(path))
        return self.ranks.broadcast(next(complete, None) if self.ranks.first else None)

    def _files(self) -> TrainerFiles:
        return TrainerFiles(self.student, self.optimiser, self.teacher, self.ranks, self.who)

    def _read_weights(self, folder: Path) -> None:
        saved = AutoModelForCausalLM.from_pretrained(  # some families rename when saved
            folder, dtype=torch.float32, trust_remote_code=False
        )
        weights = {name: parameter.detach() for name, parameter in saved.named_parameters()}
        own = {name: parameter.detach() for name, parameter in self.student.named_parameters()}
        for name in own.keys() - weights.keys():
            raise CheckpointError(f"{folder} has no weights for {name!r}; it belongs to another model")
        copy_all(own, weights)

    @contextmanager
    def _new_folder(self, target: Path) -> Iterator[Path]:
        """A folder that becomes `target` when the block ends on the first rank; all ranks are given its path."""
        if not self.ranks.first:
            yield self.ranks.broadcast(target)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target) as folder:
            (folder / "trainer").mkdir()
            yield self.ranks.broadcast(folder)

    def _write(self, folder: Path, state: TrainerState) -> None:
        weights = self._gathered()
        if self.ranks.first:
            self.student.save_pretrained(folder, state_dict=weights, max_shard_size="1TB")  # type: ignore[operator]
            self.tokenizer.save_pretrained(folder)
        del weights
        self._files().write(folder / "trainer")
        if self.ranks.first:
            (folder / "trainer" / "state.json").write_text(json.dumps(dataclasses.asdict(state)))
            sums = {str(path.relative_to(folder)): _checksum(path) for path in _files(folder)}
            (folder / MANIFEST).write_text(json.dumps({"step": state.step, "sha256": sums}, indent=1))

    def _gathered(self) -> dict[str, Tensor]:
        """Everything that the model's folder holds, whole and merged, on the first rank's CPU; elsewhere nothing."""
        gathered = {}
        for name, tensor in StudentWeights(self.student).named_parameters():
            if self.ranks.first:
                gathered[name] = tensor.cpu()
        if self.ranks.first:
            parameters = dict(self.student.named_parameters(remove_duplicate=False))
            gathered |= {name: value for name, value in self.student.state_dict().items() if name not in parameters}
        return gathered

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []

    def _prune(self, keep: set[int]) -> None:
        for path in self._all():
            if int(path.name.removeprefix("step-")) not in keep:
                shutil.rmtree(path)


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint has a manifest and every file in it is unharmed."""
    try:
        sums = json.loads((folder / MANIFEST).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(sums, dict) and all(
        (folder / name).is_file() and _checksum(folder / name) == value for name, value in sums.items()
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
