"""The entry for whole programs: the source runs as `__main__`, as `python FILE` would run it.

Other entries use `execute` to load a candidate's source as a module, and `describe` for what went wrong in it.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
import traceback
from types import ModuleType, TracebackType

from mopd_verifiers.sandbox.inside.job import Job

FILE = "solution.py"
"""What a candidate's source is called in tracebacks, unless said otherwise."""

_OWN_FOLDER = os.path.dirname(__file__)  # noqa: PTH120


def run(job: Job) -> None:
    """Run the source as `__main__`. Raises what it raises."""
    for descriptor in (job.report, job.channel):
        if descriptor is not None:
            os.close(descriptor)
    sys.argv = [FILE]
    sys.setrecursionlimit(sys.getrecursionlimit() + _own_depth())
    sys.excepthook = _print
    threading.excepthook = _print_in_thread
    execute(job.source)


def execute(source: str, name: str = "__main__", file: str = FILE) -> ModuleType:
    """Run a source as a fresh module, known by `name` in `sys.modules`, its lines known to tracebacks; return it.

    Raises what the source raises, `SyntaxError` and `SystemExit` included; its module stays in `sys.modules` then.
    """
    module = ModuleType(name)
    module.__dict__.update(__file__=file, __builtins__=__builtins__)
    sys.modules[name] = module
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
    return module


def describe(error: BaseException) -> str:
    """The traceback as Python prints it, beginning with the first line that is not ours."""
    return "".join(traceback.format_exception(type(error), error, _without_own(error.__traceback__)))


def _without_own(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        trace = trace.tb_next
    return trace


def _own_depth() -> int:
    """How many calls lie below the program's first one, which it should not have to share its limit with."""
    return sum(1 for _ in traceback.walk_stack(None)) + 3


def _print(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    traceback.print_exception(kind, error, _without_own(trace))


def _print_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit:
        return
    name = arguments.thread.name if arguments.thread else threading.get_ident()
    print(f"Exception in thread {name}:", file=sys.stderr)
    traceback.print_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
