"""Grades HumanEval problems: `check` runs in one process, the program in another, and only values go between them.

The program may be the whole function, with the imports and helpers of the prompt there to use, or the body alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from mopd_verifiers.code.checker import CHECK, HELPERS, MODULE
from mopd_verifiers.code.failures import ended_badly
from mopd_verifiers.code.grade import Failure, Grade, Terms
from mopd_verifiers.code.problems import HumanEvalProblem
from mopd_verifiers.proxy.program import candidate_program
from mopd_verifiers.sandbox.program import Limits, Program, Result, Runner

_INDENTED = re.compile(r"(?:[ \t]*\n)*+[ \t]+\S")
_PUBLISH = """
import builtins
vars(builtins).update({name: value for name, value in list(globals().items()) if name not in vars(builtins)})
"""
"""Ends the module of the prompt's names: they are there for the program as built-in names are."""


def grade_humaneval(problem: HumanEvalProblem, source: str, terms: Terms, runner: Runner) -> Grade:
    """Run the problem's `check`, which counts as one test."""
    tests = Program(
        "",
        payload=json.dumps(
            {"source": f"{problem.header}\n{problem.test}", "entry_point": problem.entry_point}
        ).encode(),
        entry=CHECK,
        interpreter=terms.interpreter,
    )
    files = {f"{MODULE}.py": whole(problem, source), f"{HELPERS}.py": problem.header + _PUBLISH}
    candidate = replace(candidate_program(files), interpreter=terms.interpreter)
    limits = terms.limits(min(terms.timeout_s, terms.problem_timeout_s))
    judged, answered = runner.run_pair(tests, candidate, limits)
    for result in (judged, answered):
        if result.status == "unknown":
            return Grade(0, 1, unknown=result.reason)
    return _graded(judged, answered, limits)


def whole(problem: HumanEvalProblem, source: str) -> str:
    """The program, after the prompt if it is the function's body alone."""
    return f"{problem.prompt.rstrip()}\n{source}" if _INDENTED.match(source) else source


def _graded(judged: Result, answered: Result, limits: Limits) -> Grade:
    match _report(judged):
        case ["passed"] if judged.status == "ok":
            return Grade(1, 1)
        case ["unfit", str(why)]:
            return Grade(0, 1, unknown=f"the tests of this problem cannot be run: {why}")
        case ["failed", dict(shown)]:
            failure = _described(shown, limits)
        case _:
            failure = _died(judged, answered, limits)
    return Grade(0, 1, replace(failure, test=1))


def _report(judged: Result) -> object:
    return json.loads(judged.report[0]) if judged.report else None


def _died(judged: Result, answered: Result, limits: Limits) -> Failure:
    """The tests did not end: the candidate's process took too long, or ended first."""
    own = ended_badly(judged, limits) if judged.status == "timeout" else ended_badly(answered, limits)
    return own or Failure("its process ended, or gave what is no answer")


def _described(shown: dict[str, str], limits: Limits) -> Failure:
    kind = shown["error"].partition(":")[0]
    told = {"Test": shown["assertion"], "Error": shown["error"], "The last call returned": shown["returned"]}
    if not shown["error"]:
        what = "an assertion does not hold"
    elif kind == "MemoryError":
        what = f"it needed more than {limits.memory_mb} MiB of memory"
    else:
        what = f"it raised {kind}" if shown["where"] else f"checking what it returned raised {kind}"
    return Failure(what, tuple(shown["where"].splitlines()), tuple(item for item in told.items() if item[1]))
