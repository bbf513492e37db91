"""What a zygote is told when it starts, and what it hands to its children: the two values beside `Job`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LAYERS = ("rlimits", "uid", "landlock", "seccomp", "namespaces")
"""All layers, by name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a zygote is told: the layers to put on, and the interpreter to be.

    found_in: folders that hold entries and packages. scratch: the folder of its programs, or empty.
    """

    layers: tuple[str, ...]
    entries: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    found_in: tuple[str, ...] = ()
    scratch: str = ""

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Kind:
        """From the message's JSON."""
        named: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in message.items()
        }
        return cls(**named)


@dataclass(frozen=True, slots=True)
class Setup:
    """What each child puts on; None where a layer is not put on.

    held_bytes: of address space by the zygote; a run's memory comes on top. uid: the user to become. counted_as: the
    user to count threads as, for a child that stays who it is. is_alone: whether all threads of that user
    are the program's. ruleset: of Landlock. filter: of system calls.
    """

    held_bytes: int | None
    uid: int | None
    counted_as: int | None
    is_alone: bool
    ruleset: int | None
    filter: bytes | None
    scratch: str
    watches_scratch: bool


@dataclass(frozen=True, slots=True)
class Task:
    """One run, as the zygote's message spells it; `sizes` are of source, payload, and then the files, in one blob."""

    entry: str
    sizes: tuple[int, ...]
    files: tuple[str, ...]
    wall_s: float
    memory_mb: int

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Task:
        """From the message's JSON."""
        sizes, files = tuple(message["sizes"]), tuple(message["files"])
        return cls(message["entry"], sizes, files, message["wall_s"], message["memory_mb"])


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a message brings along, in this order; `channel` only for a program of a pair."""

    stdin: int
    blob: int
    stdout: int
    stderr: int
    report: int
    channel: int | None = None

    def all(self) -> list[int]:
        """Every one that there is."""
        every = (self.stdin, self.blob, self.stdout, self.stderr, self.report, self.channel)
        return [descriptor for descriptor in every if descriptor is not None]
