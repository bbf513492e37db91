"""One sandbox with two workers for all tests of this folder; they skip where the machine offers none."""

from __future__ import annotations

import textwrap

import pytest

from mopd_core.errors import ConfigError
from mopd_core.types import VerifyItem
from mopd_verifiers.sandbox.config import SandboxConfig
from mopd_verifiers.sandbox.sandbox import Sandbox
from mopd_verifiers.unit_tests.config import UnitTestsConfig
from mopd_verifiers.unit_tests.verifier import UnitTestsVerifier


@pytest.fixture(scope="session")
def sandbox():
    try:
        made = Sandbox(SandboxConfig(), 2)
    except ConfigError as error:
        pytest.skip(f"no sandbox here: {error}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def judge(sandbox):
    """Judges one candidate: its source, or its files by name, against tests that are to pass `n_tests` times."""

    def judge_one(candidate, tests, n_tests, *, reference=None, **options):
        options = {"timeout_s": 10.0, "test_timeout_s": 5.0, **options}
        verifier = UnitTestsVerifier(UnitTestsConfig(workers=2, **options), sandbox)
        files = {"test_solution.py": tests} if isinstance(tests, str) else tests
        files = {name: textwrap.dedent(text) for name, text in files.items()}
        reference = {"module": "solution", "files": files, "n_tests": n_tests, **(reference or {})}
        (verdict,) = verifier.verify([VerifyItem(respond(candidate), reference, prompt_id="p-1")])
        return verdict

    return judge_one


def respond(candidate):
    """A response with the candidate's files in blocks."""
    if isinstance(candidate, str):
        return f"Here it is.\n\n```python\n{textwrap.dedent(candidate)}\n```\n"
    return "\n".join(f"```python {name}\n{textwrap.dedent(source)}\n```\n" for name, source in candidate.items())
