"""The options of the verifier `unit-tests`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from mopd_core.config.base import PluginConfig
from mopd_verifiers.sandbox.config import SandboxConfig


class UnitTestsConfig(PluginConfig):
    """Hidden pytest or unittest files against the response's modules, in two sandboxed processes.

    A prompt's reference is `{"module": "solution", "files": {"test_solution.py": ...}, "n_tests": 4}`, or that as JSON
    text. `files` are the tests and whatever they read (helpers, `conftest.py`, data); `module` is what the tests import
    from the response, or a list of such; `n_tests` is how many tests have to pass, no more and no fewer, with none that
    fails. It may have `timeout_s` and `memory_mb`, which hold instead of the ones here; `classes`, the names of the
    response's classes whose instances the tests compare with plain data, where the names that the tests use do not say
    so; and `in_process`, for tests that pass callbacks, mocks or files, which cannot leave their process.

    The module is the last fenced block of the response that is tagged as Python, or else the last one. A block is a
    file of its own where its name is in the info string, alone on the line above, or in a comment on its first line;
    the last block of a name counts. Thinking is not looked at.
    """

    result_neutral: ClassVar[frozenset[str]] = frozenset({"workers"})

    reward: Literal["all", "fraction"] = "all"
    """`all`: 1 if all tests pass, else 0; `fraction`: how many of `n_tests` passed. Either way a response has passed
    only if all did."""

    timeout_s: float = Field(default=30.0, gt=0)
    """Longest wall time for all tests of a problem together, in seconds."""

    test_timeout_s: float = Field(default=10.0, gt=0)
    """Longest wall time for one test, in seconds; the first one's includes the import of the response's modules."""

    memory_mb: int = Field(default=1024, ge=64)
    """Address space of either process, in MiB, beyond what its interpreter itself takes."""

    output_kb: int = Field(default=1024, ge=64)
    """The most that either process may write to each of its streams, in KiB."""

    require_fence: bool = False
    """Fail a response without a fenced block. Otherwise such a response is taken for the module as a whole."""

    show_tests: bool = True
    """Whether feedback may tell of the tests: names and assertion messages. Otherwise it tells how many passed, and
    which kinds of exceptions there were."""

    feedback_chars: int = Field(default=1500, ge=200, le=4000)
    """Longest feedback, in characters."""

    allow_in_process: bool = False
    """Whether references may ask for `in_process`: tests and response in one process, where the response can interfere
    with its tests. The verdicts say so."""

    packages: tuple[str, ...] = ()
    """Packages that tests and responses may import beside the standard library and, for tests, pytest."""

    workers: int | None = Field(default=None, ge=1)
    """How many problems run at once, two processes each; by default one a CPU, four at most."""

    sandbox: SandboxConfig = SandboxConfig()
    """The sandbox that both processes run in."""
