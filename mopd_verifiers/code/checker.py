"""The trusted side of a HumanEval problem: an entry that runs `check` on a function which lives in another process.

Its payload is JSON with what `Task` holds. Its report is one line of JSON: `["passed"]`, `["died", why]` where the
candidate's process did not answer, `["unfit", why]` where the tests ask for what cannot be had across processes, or
`["failed", {"error", "where", "assertion", "returned"}]`, each of them text and empty where there is none.
"""

from __future__ import annotations

import ast
import json
import os
import traceback
from collections.abc import Callable
from typing import Any

from mopd_verifiers.proxy.errors import ProtocolError, UnsendableError
from mopd_verifiers.proxy.exceptions import where_raised
from mopd_verifiers.proxy.session import Session
from mopd_verifiers.sandbox.inside import script
from mopd_verifiers.sandbox.inside.job import Job

CHECK = f"{__name__}:check"
MODULE, HELPERS = "solution", "prompt_names"

_FILE = "tests.py"
_MAX_SHOWN_CHARS = 4000


def check(job: Job) -> None:
    """Run the tests and report how they ended."""
    assert job.channel is not None, "the checker runs as one of a pair"
    task = json.loads(job.payload)
    calls = _Calls()
    try:
        with Session(job.channel, [MODULE, HELPERS], classes=frozenset()) as session:
            session.load(HELPERS)
            candidate = calls.recorded(getattr(session.load(MODULE), task["entry_point"]))
            tests = script.execute(task["source"], "tests", _FILE)
            setattr(tests, task["entry_point"], candidate)
            tests.check(candidate)
        said: list[Any] = ["passed"]
    except ProtocolError as error:
        said = ["died", str(error)]
    except UnsendableError as error:  # Unless it is on record, what is too large to be sent may be the candidate's.
        is_unfit = session.link.unsendable is not None
        said = ["unfit", str(error)] if is_unfit else ["failed", _described(error, calls, task["source"])]
    except BaseException as error:  # The boundary: the candidate's exceptions come through, and the tests have theirs.
        said = ["failed", _described(error, calls, task["source"])]
    os.write(job.report, json.dumps(said).encode() + b"\n")


class _Calls:
    """What the last call of the candidate returned."""

    def __init__(self) -> None:
        self.returned: list[object] = []

    def recorded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def candidate(*args: Any, **kwargs: Any) -> Any:
            self.returned.clear()
            self.returned.append(function(*args, **kwargs))
            return self.returned[0]

        return candidate


def _described(error: BaseException, calls: _Calls, source: str) -> dict[str, str]:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
    shown = {
        "error": "" if isinstance(error, AssertionError) else _worded(error, _spelled),
        "where": where_raised(error),
        "assertion": _statement(source, lines[-1] or 0) if lines else "",
        "returned": _worded(calls.returned[0], repr) if calls.returned else "",
    }
    return {name: text[:_MAX_SHOWN_CHARS] for name, text in shown.items()}


def _worded(value: Any, word: Callable[[Any], str]) -> str:
    try:
        return word(value)
    except Exception:  # What the candidate returned or raised may have no words, or too many of them.
        return f"something of type {type(value).__name__}"


def _spelled(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _statement(source: str, line: int) -> str:
    """The innermost statement around a line."""
    around = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return ast.get_source_segment(source, around[-1]) or "" if around else ""
