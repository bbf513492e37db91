"""How a program ends: as `python FILE` ends it, but without tearing the interpreter down, which would cost more.

Exceptions are printed, threads joined, exit handlers called, what the program's own objects do when they are deleted
is done, and the streams are flushed.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable

_INTERRUPTED, _NOT_FLUSHED = 130, 120


def finish(run: Callable[[], object]) -> int:
    """Call `run` and everything that comes after it; return the exit code."""
    code = _exit_code(run)
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()
    _flush()
    _delete_main()
    return code if _flush() else code or _NOT_FLUSHED


def _exit_code(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as leaving:
        return _meant_by(leaving.code)
    except BaseException as error:  # the boundary of the program: whatever it raises, it ends
        _show(error)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _meant_by(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> None:
    """Through the hook, as the interpreter does; a hook that fails must not hide that there was an error."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as second:  # memory is short, or the hook is the program's own
        os.write(2, f"{type(error).__name__}; and printing it: {type(second).__name__}\n".encode())


def _delete_main() -> None:
    """Let go of the program's own module, so that its objects are deleted while the streams still work."""
    sys.modules.pop("__main__", None)
    gc.collect()


def _flush() -> bool:
    """Flush both streams, as far as they are open; False if what was printed could not be written."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException:  # a stream of the program's own making may raise anything
        return False
    return True
