"""The tests' process: an entry that runs pytest in the scratch folder and reports each test as it ends.

The payload is JSON with what `Task` holds. The report is lines of JSON: `["start", test]`; `["end", test, outcome,
kind, message, where]` with the outcome `passed`, `failed`, `error` (outside the test itself) or `skipped`, and for what
raised the exception's class, its message and lines of the candidate's own code; and last `["done", broken, unsendable]`
with what the channel has on record, empty for nothing.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from _pytest.config import default_plugins

from mopd_verifiers.proxy.errors import ProtocolError, UnsendableError
from mopd_verifiers.proxy.exceptions import where_raised
from mopd_verifiers.proxy.link import Link
from mopd_verifiers.proxy.session import Session
from mopd_verifiers.sandbox.inside.job import Job

ENTRY = f"{__name__}:run"
INI = "pytest.ini"

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_MAX_NAME_CHARS = 300
_MAX_MESSAGE_CHARS = 3000
_LEFT_OUT = (
    *("cacheprovider", "doctest", "faulthandler", "junitxml", "pastebin", "setuponly", "setupplan", "stepwise"),
    *("threadexception", "unraisableexception"),
)
"""Plugins that write, that nobody reads here, or that collect garbage before and after."""
for _name in (*(f"_pytest.{plugin}" for plugin in default_plugins), "difflib", "pdb", "unittest.mock"):
    import_module(_name)
_OPTIONS = (
    "-c",
    INI,
    "--rootdir=.",
    "--basetemp=.tmp",
    "--capture=sys",
    "--tb=line",
    "-q",
    "--no-header",
    "--no-summary",
)


@dataclass(frozen=True, slots=True)
class Task:
    """tests: the files to collect. modules: what is imported from the candidate. classes, words: see `Session`."""

    tests: list[str]
    modules: list[str]
    classes: list[str] | None
    words: list[str]


def run(job: Job) -> None:
    """Run the tests; without a channel the candidate's files lie beside them."""
    task = Task(**json.loads(job.payload))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = True
    gc.freeze()
    sys.path.insert(0, str(Path.cwd()))
    if job.channel is None:
        _test(task, _Reporter(job.report))
        return
    session = Session(job.channel, task.modules, classes=task.classes, words=frozenset(task.words))
    with suppress(ProtocolError, UnsendableError), session:
        _test(task, _Reporter(job.report, session.link))


def _test(task: Task, reporter: _Reporter) -> None:
    pytest.main([*_OPTIONS, *(f"-pno:{name}" for name in _LEFT_OUT), *task.tests], plugins=[reporter])
    reporter.finish()


class _Reporter:
    """A pytest plugin. What the channel has on record fails the test in which it happened, whatever the test caught."""

    def __init__(self, report: int, link: Link | None = None) -> None:
        self._report = report
        self._link = link
        self._outcome = "skipped"
        self._raised: tuple[str, str, str] = ("", "", "")

    def finish(self) -> None:
        """Say that all tests were run, as far as they could be."""
        self._tell("done", (self._link and self._link.broken) or "", (self._link and self._link.unsendable) or "")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test starts."""
        self._outcome, self._raised = "skipped", ("", "", "")
        self._tell("start", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of it ended; the worst counts."""
        if report.failed:
            self._outcome = "failed" if report.when == "call" and self._outcome != "error" else "error"
        elif report.passed and report.when == "call" and self._outcome == "skipped" and not hasattr(report, "wasxfail"):
            self._outcome = "passed"

    def pytest_exception_interact(self, call: pytest.CallInfo[Any], report: Any) -> None:
        """Something was raised; the first of a test is what is told."""
        if call.excinfo is not None and not self._raised[0]:
            self._raised = _told(call.excinfo.value)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """The test ended."""
        if self._link is not None and self._link.broken is not None and self._outcome == "passed":
            self._outcome, self._raised = "failed", ("ProtocolError", self._link.broken, "")
        self._end(nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file was read; one that could not be counts as a test with an error."""
        if report.failed:
            self._outcome = "error"
            if not self._raised[0]:
                self._raised = ("CollectError", str(report.longrepr), "")
            self._end(report.nodeid)
            self._raised = ("", "", "")

    def _end(self, nodeid: str) -> None:
        kind, text, where = self._raised
        self._tell("end", nodeid, self._outcome, kind, text[:_MAX_MESSAGE_CHARS], where)

    def _tell(self, what: str, name: str, *details: str) -> None:
        line = json.dumps([what, name[:_MAX_NAME_CHARS], *details]).encode() + b"\n"
        while line:
            line = line[os.write(self._report, line) :]


def _told(error: BaseException) -> tuple[str, str, str]:
    """The class, message and place of what was raised, without what differs from run to run."""
    if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
        error = error.__cause__
    text = "".join(traceback.format_exception_only(error)).rstrip()
    text = _ADDRESS.sub("", text.replace(f"{Path.cwd()}{os.sep}", ""))
    return type(error).__name__, text, where_raised(error)
