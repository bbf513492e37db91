"""What the graders are given and what they give back; one grader a kind of problem, a file each.

A grader is `(problem, source, terms, runner) -> Grade`. It counts tests in a `Tally`, in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mopd_verifiers.sandbox.program import Interpreter, Limits


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one problem. Seconds of wall time (of a test, and of all tests together), MiB, bytes."""

    timeout_s: float
    problem_timeout_s: float
    memory_mb: int
    output_bytes: int
    float_tolerance: float
    max_tests: int | None
    stop_at_failure: bool
    interpreter: Interpreter

    def limits(self, wall_s: float, step_s: float | None = None) -> Limits:
        """The limits of one run."""
        return Limits(wall_s=wall_s, step_s=step_s, memory_mb=self.memory_mb, output_bytes=self.output_bytes)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a test failed.

    what: the end of "it failed: ...", which tells nothing of the test. trace: lines of the candidate's own code, last
    call last. told: labelled texts that tell of the test, for tests whose contents may be shown. test: counted from 1,
    None where the program could not be tested at all. public: whether the test is.
    """

    what: str
    trace: tuple[str, ...] = ()
    told: tuple[tuple[str, str], ...] = ()
    test: int | None = None
    public: bool = False


@dataclass(frozen=True, slots=True)
class Grade:
    """How many of the tests passed, and why the first that did not. unknown: why it could not be decided, or empty.

    stopped: tests after the first failure were not run.
    """

    passed: int
    total: int
    failure: Failure | None = None
    unknown: str = ""
    stopped: bool = False


@dataclass(slots=True)
class Tally:
    """Counts the tests of one problem, and its time."""

    terms: Terms
    total: int
    done: int = 0
    passed: int = 0
    first: Failure | None = None
    left_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.left_s = self.terms.problem_timeout_s

    @property
    def goes_on(self) -> bool:
        """Whether another test is to be run."""
        return self.done < self.total and self.left_s > 0 and not (self.first and self.terms.stop_at_failure)

    def add(self, failure: Failure | None) -> None:
        """Count the next test."""
        self.done += 1
        self.passed += failure is None
        self.first = self.first or failure

    def grade(self) -> Grade:
        """The result; tests that were not run have not passed."""
        failure = self.first
        if failure is None and self.done < self.total:
            failure = Failure(f"all tests together took longer than {self.terms.problem_timeout_s:g} s")
        return Grade(self.passed, self.total, failure, stopped=self.terms.stop_at_failure)
