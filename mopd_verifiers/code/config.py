"""The options of the verifier `code`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from mopd_core.config.base import PluginConfig
from mopd_verifiers.sandbox.config import SandboxConfig


class CodeConfig(PluginConfig):
    """Programs against tests, each run in a sandbox: standard input, functions, HumanEval, LiveCodeBench.

    The program is the last fenced block of the response that is tagged as Python, or else the last one; thinking is
    not looked at. A prompt's reference is one of

    - `{"kind": "stdin", "tests": [{"input": ..., "output": ...}]}`
    - `{"kind": "function", "entry_point": ..., "tests": [{"args": [...], "expected": ...}]}`, also with `kwargs`; the
      function may be a method of a class `Solution`
    - `{"kind": "humaneval", "prompt": ..., "entry_point": ..., "test": ...}`; the program may be the whole function, or
      its body alone
    - `{"kind": "livecodebench", ...}` with the columns that LiveCodeBench publishes

    or such an object as JSON text. Each may have `timeout_s` and `memory_mb`, which hold instead of the ones here, and
    a test of the first two may have `"public": true`.

    Printed text is compared line by line; white space at the end of a line and blank lines at the end do not count.
    Returned values are compared as JSON: a tuple is a list, a key is text, `True` is not 1.
    """

    result_neutral: ClassVar[frozenset[str]] = frozenset({"workers"})

    reward: Literal["all", "fraction"] = "all"
    """`all`: 1 if every test passes, else 0, and the first failure ends it; `fraction`: the fraction that passes.
    Either way a response has passed only if every test did. HumanEval counts as one test."""

    max_tests: int | None = Field(default=None, ge=1)
    """How many tests of a problem are run, from the first; by default all."""

    timeout_s: float = Field(default=10.0, gt=0)
    """Longest wall time for one test, in seconds."""

    problem_timeout_s: float = Field(default=60.0, gt=0)
    """Longest wall time for all tests of a problem together, in seconds; tests that it leaves no time for fail."""

    memory_mb: int = Field(default=1024, ge=16)
    """Address space of a program, in MiB, beyond what the interpreter itself takes."""

    output_kb: int = Field(default=1024, ge=1)
    """The most that a program may write to each of its streams, in KiB; also the largest result of a function."""

    float_tolerance: float = Field(default=1e-6, ge=0)
    """Two floats are equal if they differ by no more than this times the larger of 1 and the expected one. A whole
    number equals a float only exactly."""

    require_fence: bool = False
    """Fail a response without a fenced block. Otherwise such a response is taken for a program as a whole."""

    show_tests: Literal["all", "public", "none"] = "all"
    """Which tests feedback may show: input, expected and actual result, and error messages. `public` are those of
    LiveCodeBench's public column and those marked so; HumanEval's are not."""

    feedback_chars: int = Field(default=1500, ge=200, le=4000)
    """Longest feedback, in characters."""

    packages: tuple[str, ...] = ("numpy",)
    """Packages that programs may import beside the standard library."""

    workers: int | None = Field(default=None, ge=1)
    """How many programs run at once; by default one a CPU, four at most."""

    sandbox: SandboxConfig = SandboxConfig()
    """The sandbox that programs run in."""
