"""A sandbox for a whole module, a way to run under some layers only.

Programs here are tame: where a layer is left out, what gets through does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mopd_core.errors import ConfigError
from mopd_verifiers.sandbox.api import Limits, Program, Result, Sandbox, SandboxConfig
from mopd_verifiers.sandbox.inside.setup import Kind
from mopd_verifiers.sandbox.process import Zygote
from mopd_verifiers.sandbox.program import Interpreter
from mopd_verifiers.sandbox.running import Running, drive

ROOT = Path(__file__).parents[3]
ENTRIES = Interpreter().entries


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        made = Sandbox(SandboxConfig(), workers=2)
    except ConfigError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture(scope="module")
def run(sandbox: Sandbox) -> Callable[..., Result]:
    def run(source: str, limits: Limits | None = None, **fields: object) -> Result:
        return sandbox.run(Program(source, **fields), limits or Limits(wall_s=10.0))

    return run


@pytest.fixture
def run_under(sandbox: Sandbox) -> Iterator[Callable[..., Result]]:
    """Run a source with these layers and no other."""
    zygotes: list[Zygote] = []

    def run_under(layers: tuple[str, ...], source: str, limits: Limits | None = None) -> Result:
        zygote = Zygote(Kind(layers, ENTRIES, found_in=(str(ROOT),)))
        zygotes.append(zygote)
        zygote.warm_up(60.0)
        one = Running(zygote, Program(source), limits or Limits())
        try:
            one.start()
            drive([one])
            return one.result(())
        finally:
            one.close()

    yield run_under
    for zygote in zygotes:
        zygote.end()
