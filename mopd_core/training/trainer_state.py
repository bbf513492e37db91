"""What a resumed run needs beside the model's folder: the optimiser, the teacher, and weights that the folder lacks.

    optimizer.pt  teacher.safetensors  adapters.safetensors (with `model.lora`)      where every rank has all of it
    shards/                                                                          where it is split over ranks

`shards` is of torch.distributed.checkpoint: every rank writes its part, and any number of ranks can read it, as they
can read the other form. A new part of the state gets its place in both.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from mopd_core.boundary import plugin_boundary
from mopd_core.errors import CheckpointError, PluginError
from mopd_core.interfaces import Teacher
from mopd_core.training.ranks import Ranks
from mopd_core.training.shards import like, rest


@dataclass(frozen=True, slots=True)
class TrainerFiles:
    """What is saved, and read back in place. `teacher` is None where the objective uses none. who: its name."""

    student: nn.Module
    optimiser: torch.optim.Optimizer
    teacher: Teacher | None
    ranks: Ranks
    who: str = "the teacher"

    def write(self, folder: Path) -> None:
        """Write the state to an empty folder. Collective."""
        if self._is_split():
            save(self._state(), checkpoint_id=folder / "shards")
        elif self.ranks.first:
            self._write_whole(folder)

    def hold_weights(self, folder: Path) -> bool:
        """Whether the student's trained weights are among the state in a folder."""
        return (folder / "shards").is_dir() or bool(self._adapters())

    def read(self, folder: Path) -> None:
        """Take the state back. Collective. Raises `CheckpointError` for the state of another model."""
        rest(self.student)
        with _same_model(folder):
            if (folder / "shards").is_dir():
                self._read_shards(folder / "shards")
            else:
                self._read_whole(folder)

    def _is_split(self) -> bool:
        rest(self.student)
        return any(isinstance(parameter, DTensor) for parameter in self.student.parameters())

    def _trained(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.student.named_parameters() if value.requires_grad}

    def _adapters(self) -> dict[str, Tensor]:
        """What is trained beside weights that are not."""
        is_all = all(parameter.requires_grad for parameter in self.student.parameters())
        return {} if is_all else self._trained()

    def _teacher_state(self) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        with plugin_boundary(self.who):
            state: object = self.teacher.state_dict()
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            raise PluginError(
                f"{self.who} returned {state!r:.100} from state_dict(); it has to return tensors by their names"
            )
        return {name: tensor.detach() for name, tensor in state.items()}

    def _state(self) -> dict[str, Any]:
        is_fresh = not self.optimiser.state
        optimiser = get_optimizer_state_dict(self.student, self.optimiser)
        if is_fresh:  # torch has filled it by a step without gradient, and has counted that one.
            for values in self.optimiser.state.values():
                values["step"].zero_()
        return {
            "student": self._trained(),
            "optimiser": optimiser,
            "teacher": self._teacher_state(),
        }

    def _read_shards(self, folder: Path) -> None:
        state = self._state()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            load(state, checkpoint_id=folder)  # In place: it fills the student's and the teacher's own tensors.
        set_optimizer_state_dict(self.student, self.optimiser, state["optimiser"])
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])

    def _write_whole(self, folder: Path) -> None:
        torch.save(self.optimiser.state_dict(), folder / "optimizer.pt")
        if self.teacher is not None:
            save_file(_contiguous(self._teacher_state()), folder / "teacher.safetensors")
        if adapters := self._adapters():
            save_file(_contiguous(adapters), folder / "adapters.safetensors")

    def _read_whole(self, folder: Path) -> None:
        state = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True, mmap=True)
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        for number, values in state["state"].items():
            values |= {name: like(parameters[number], value) for name, value in values.items() if value.ndim}
        self.optimiser.load_state_dict(state)
        if self.teacher is not None:
            self.teacher.load_state_dict(load_file(folder / "teacher.safetensors"))
        if adapters := self._adapters():
            copy_all(adapters, load_file(folder / "adapters.safetensors"))


def copy_all(own: dict[str, Tensor], saved: dict[str, Tensor]) -> None:
    """Copy saved tensors into our own, split as those are. Raises `KeyError` for one that is missing."""
    for name, tensor in own.items():
        tensor.copy_(like(tensor, saved[name]))


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


@contextmanager
def _same_model(folder: Path) -> Iterator[None]:
    try:
        yield
    except (CheckpointException, KeyError, IndexError, ValueError, RuntimeError, FileNotFoundError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise CheckpointError(f"{folder} does not fit this run, it belongs to another model: {reason}") from error
