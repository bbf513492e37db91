"""The verifier `unit-tests`: from a response to its files, from the files to a report, from the report to a verdict.

*unknown* is left for what the sandbox could not do, and for tests that ask for what cannot be had across processes.
`UnitTestsVerifier` takes any `Runner`: a plugin whose sandbox is elsewhere builds it with its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from mopd_core.contexts import RunContext
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.proxy.program import candidate_program
from mopd_verifiers.sandbox.program import Interpreter, Limits, Program, Result, Runner
from mopd_verifiers.sandbox.sandbox import Sandbox
from mopd_verifiers.unit_tests.config import UnitTestsConfig
from mopd_verifiers.unit_tests.feedback import NO_PROGRAM, worded
from mopd_verifiers.unit_tests.references import Suite, read_suite
from mopd_verifiers.unit_tests.sources import find_sources
from mopd_verifiers.unit_tests.tally import Tally, count

IN_PROCESS = "tests and candidate in one process"

_MOST_WORKERS = 4
_PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments")
"""What pytest consists of; not all of its versions have the last."""
_TESTS_MODULE = "mopd_verifiers.unit_tests.inside"
_INI = "pytest.ini"


class UnitTestsVerifier:
    """Judges modules by hidden tests. Any number of threads may call it; `close` also closes the runner."""

    def __init__(self, config: UnitTestsConfig, runner: Runner) -> None:
        self._config = config
        self._runner = runner
        self._interpreter = Interpreter((*filter(find_spec, _PYTEST), *config.packages), (_TESTS_MODULE,), scratch=True)

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that holds no tests."""
        suites = [self._read(item) for item in items]
        threads = ThreadPoolExecutor(worker_count(self._config))
        try:
            return list(threads.map(self._judge, items, suites))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Read the references. Raises `DataError` for the first that holds no tests."""
        for item in items:
            self._read(item)

    def close(self) -> None:
        """End the sandbox's processes. Calling it twice is fine."""
        self._runner.close()

    def _read(self, item: VerifyItem) -> Suite:
        return read_suite(item, allow_in_process=self._config.allow_in_process)

    def _judge(self, item: VerifyItem, suite: Suite) -> Verdict:
        sources = find_sources(item.response, suite.modules, require_fence=self._config.require_fence)
        if not sources:
            return Verdict(0.0, "failed", NO_PROGRAM)
        results = self._run(suite, sources)
        caveats = (*self._runner.caveats, *((IN_PROCESS,) if suite.in_process else ()))
        return self._verdict(suite, results, caveats)

    def _run(self, suite: Suite, sources: Mapping[str, str]) -> tuple[Result, ...]:
        """Run the tests; the first result is theirs."""
        limits = self._limits(suite)
        if suite.in_process:
            return (self._runner.run(self._tests(suite, _beside(suite, sources)), limits),)
        candidate = candidate_program(sources, self._config.packages)
        return self._runner.run_pair(self._tests(suite, {}), candidate, limits)

    def _tests(self, suite: Suite, sources: Mapping[str, str]) -> Program:
        task = {"tests": suite.tests, "modules": suite.modules, "classes": suite.classes, "words": suite.words}
        files = {_INI: "[pytest]\n", **sources, **suite.files}
        return Program(
            "",
            payload=json.dumps(task).encode(),
            entry=f"{_TESTS_MODULE}:run",
            files={name: text.encode("utf-8", "surrogatepass") for name, text in files.items()},
            interpreter=self._interpreter,
        )

    def _limits(self, suite: Suite) -> Limits:
        config = self._config
        return Limits(
            wall_s=suite.timeout_s or config.timeout_s,
            step_s=config.test_timeout_s,
            memory_mb=suite.memory_mb or config.memory_mb,
            output_bytes=config.output_kb << 10,
        )

    def _verdict(self, suite: Suite, results: Sequence[Result], caveats: tuple[str, ...]) -> Verdict:
        tests = results[0]
        tally = count(tests.report)
        if reason := next((result.reason for result in results if result.status == "unknown"), tally.unsendable):
            return Verdict(0.0, "unknown", f"Not judged: {reason}.", caveats)
        if _is_passed(suite, tally, tests):
            return Verdict(1.0, "passed", caveats=caveats)
        config = self._config
        limit_s, budget = self._limits(suite).wall_s, config.feedback_chars
        feedback = worded(suite, tally, tests, limit_s, budget, show_tests=config.show_tests)
        reward = _fraction(suite, tally) if config.reward == "fraction" else 0.0
        return Verdict(reward, "failed", feedback, caveats)


def build(config: UnitTestsConfig, context: RunContext) -> UnitTestsVerifier:
    """The factory that the plugin registers."""
    return UnitTestsVerifier(config, Sandbox(config.sandbox, worker_count(config)))


def worker_count(config: UnitTestsConfig) -> int:
    """How many problems run at once."""
    return config.workers or min(_MOST_WORKERS, os.cpu_count() or 1)


def _beside(suite: Suite, sources: Mapping[str, str]) -> dict[str, str]:
    """The candidate's files that may lie beside the tests: none that pytest would take for its own."""
    return {
        name: text for name, text in sources.items() if name not in suite.files and not name.endswith("conftest.py")
    }


def _is_passed(suite: Suite, tally: Tally, tests: Result) -> bool:
    is_whole = tally.is_done and tests.status == "ok" and not tally.broken
    return is_whole and tally.passed == suite.n_tests and not tally.failures


def _fraction(suite: Suite, tally: Tally) -> float:
    """What passed, of what had to; more than that is a wrong count, and so is all of it with something else failed."""
    return tally.passed / suite.n_tests if tally.passed < suite.n_tests else 0.0
