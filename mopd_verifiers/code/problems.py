"""What a reference becomes: a problem with its tests. A new kind of problem gets a class here.

A *public* test is one that its data set shows to whoever solves the problem.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

from mopd_core.types import Json


@dataclass(frozen=True, slots=True)
class StdinTest:
    """What the program reads and has to print."""

    input: str
    output: str
    public: bool = False


@dataclass(frozen=True, slots=True)
class CallTest:
    """A call and what it has to return. call: JSON text of `[args, kwargs]`."""

    call: str
    expected: Json
    public: bool = False

    def shown(self, entry_point: str) -> str:
        """The call as Python."""
        args, kwargs = json.loads(self.call)
        given = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        return f"{entry_point}({', '.join(given)})"


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """A problem's own limits, instead of the config's where they are given. Seconds a test, and MiB."""

    timeout_s: float | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class StdinProblem:
    """Programs that read standard input. prelude: whether the names of `prelude` are there without an import."""

    tests: tuple[StdinTest, ...]
    own: OwnLimits
    prelude: bool = False


@dataclass(frozen=True, slots=True)
class FunctionProblem:
    """Functions, or methods of a class `Solution`, that are called."""

    entry_point: str
    tests: tuple[CallTest, ...]
    own: OwnLimits
    prelude: bool = False


@dataclass(frozen=True, slots=True)
class HumanEvalProblem:
    """A function's beginning, and a source that defines `check(candidate)`."""

    prompt: str
    entry_point: str
    test: str
    own: OwnLimits

    @property
    def header(self) -> str:
        """The prompt's imports and helpers: what comes before the function. All of it where it holds no such line."""
        found = re.search(rf"^(?:async[ \t]+)?def[ \t]+{self.entry_point}\b", self.prompt, re.MULTILINE)
        return self.prompt[: found.start()] if found else self.prompt


Problem: TypeAlias = StdinProblem | FunctionProblem | HumanEvalProblem
