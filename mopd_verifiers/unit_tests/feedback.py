"""Words a failure for the teacher: how many tests passed, and the first that did not, in the tests' own words.

With the tests hidden: how many passed, and which kinds of exceptions there were.
"""

from __future__ import annotations

from collections import Counter

from mopd_verifiers.code.feedback import cut
from mopd_verifiers.sandbox.program import Result
from mopd_verifiers.unit_tests.references import Suite
from mopd_verifiers.unit_tests.tally import Tally

NO_PROGRAM = "The response holds no program. It belongs in a fenced block that begins with ```python."
_MAX_KINDS = 5
_MAX_WHERE_CHARS = 600


def worded(suite: Suite, tally: Tally, tests: Result, limit_s: float, budget: int, *, show_tests: bool) -> str:
    """Feedback of at most `budget` characters. limit_s: of all tests together."""
    head = f"{tally.passed} of {suite.n_tests} tests passed."
    if tally.failures:
        told = _first(tally) if show_tests else _kinds(tally)
    elif not tally.is_done:
        told = _cut_short(tally, tests, limit_s, show_tests=show_tests)
    else:
        told = (
            f"{suite.n_tests} were to pass." if tally.passed > suite.n_tests else "The others did not run to their end."
        )
    return cut(f"{head} {told}", budget)


def _first(tally: Tally) -> str:
    failure = tally.failures[0]
    parts = [f"The first that failed is {failure.test}:", failure.message]
    if failure.where:
        parts += ["In the program:", cut(failure.where, _MAX_WHERE_CHARS)]
    return "\n".join(parts)


def _kinds(tally: Tally) -> str:
    kinds = Counter(failure.kind for failure in tally.failures).most_common(_MAX_KINDS)
    return f"What went wrong: {', '.join(f'{kind} ({count})' for kind, count in kinds)}."


def _cut_short(tally: Tally, tests: Result, limit_s: float, *, show_tests: bool) -> str:
    where = f" during {tally.running}" if tally.running and show_tests else ""
    if tests.status == "timeout":
        return f"Time ran out{where}: a test took too long, or all of them more than {limit_s:g} s."
    if tests.status == "output":
        return f"Too much was printed{where}."
    return f"The tests came to an early end{where}."
