"""The verifier `code`: from a response to its program, from the program to a grade, from the grade to a verdict.

*unknown* is left for what the sandbox could not do. `CodeVerifier` takes any `Runner`: a plugin whose sandbox is
elsewhere builds it with its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mopd_core.contexts import RunContext
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.code.config import CodeConfig
from mopd_verifiers.code.extract import Candidate, extract
from mopd_verifiers.code.feedback import NO_PROGRAM, NOT_FENCED, cut, worded
from mopd_verifiers.code.function import grade_function
from mopd_verifiers.code.grade import Grade, Terms
from mopd_verifiers.code.humaneval import grade_humaneval
from mopd_verifiers.code.problems import FunctionProblem, OwnLimits, Problem, StdinProblem
from mopd_verifiers.code.references import read_problem
from mopd_verifiers.code.stdin import grade_stdin
from mopd_verifiers.sandbox.program import Interpreter, Runner
from mopd_verifiers.sandbox.sandbox import Sandbox

_MOST_WORKERS = 4
_ENTRIES = (
    "mopd_verifiers.sandbox.inside.script",
    "mopd_verifiers.code.driver",
    "mopd_verifiers.code.checker",
    "mopd_verifiers.proxy.server",
)


class CodeVerifier:
    """Judges programs by running them. Any number of threads may call it; `close` also closes the runner."""

    def __init__(self, config: CodeConfig, runner: Runner) -> None:
        self._config = config
        self._runner = runner
        self._interpreter = Interpreter(packages=config.packages, entries=_ENTRIES)

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that holds no problem."""
        threads = ThreadPoolExecutor(worker_count(self._config))
        try:
            return list(threads.map(self._judge, items))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Read the references. Raises `DataError` for the first that holds no problem."""
        for item in items:
            read_problem(item)

    def close(self) -> None:
        """End the sandbox's processes. Calling it twice is fine."""
        self._runner.close()

    def _judge(self, item: VerifyItem) -> Verdict:
        problem = read_problem(item)
        candidate = extract(item.response)
        if candidate is None or (self._config.require_fence and not candidate.fenced):
            return Verdict(0.0, "failed", NO_PROGRAM)
        return self._verdict(self._grade(problem, candidate.source), candidate)

    def _grade(self, problem: Problem, source: str) -> Grade:
        terms = self._terms(problem.own)
        if isinstance(problem, StdinProblem):
            return grade_stdin(problem, source, terms, self._runner)
        if isinstance(problem, FunctionProblem):
            return grade_function(problem, source, terms, self._runner)
        return grade_humaneval(problem, source, terms, self._runner)

    def _terms(self, own: OwnLimits) -> Terms:
        config = self._config
        return Terms(
            timeout_s=own.timeout_s or config.timeout_s,
            problem_timeout_s=config.problem_timeout_s,
            memory_mb=own.memory_mb or config.memory_mb,
            output_bytes=config.output_kb << 10,
            float_tolerance=config.float_tolerance,
            max_tests=config.max_tests,
            stop_at_failure=config.reward == "all",
            interpreter=self._interpreter,
        )

    def _verdict(self, grade: Grade, candidate: Candidate) -> Verdict:
        caveats = self._runner.caveats
        if grade.unknown:
            return Verdict(0.0, "unknown", f"Not judged: {grade.unknown}.", caveats)
        if grade.passed == grade.total:
            return Verdict(1.0, "passed", caveats=caveats)
        reward = grade.passed / grade.total if self._config.reward == "fraction" else 0.0
        feedback = worded(grade, self._config.show_tests, self._config.feedback_chars)
        if not candidate.fenced:
            feedback = cut(f"{NOT_FENCED}\n{feedback}", self._config.feedback_chars)
        return Verdict(reward, "failed", feedback, caveats)


def build(config: CodeConfig, context: RunContext) -> CodeVerifier:
    """The factory that the plugin registers."""
    return CodeVerifier(config, Sandbox(config.sandbox, worker_count(config)))


def worker_count(config: CodeConfig) -> int:
    """How many programs run at once."""
    return config.workers or min(_MOST_WORKERS, os.cpu_count() or 1)
