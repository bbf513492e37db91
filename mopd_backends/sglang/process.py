"""What SGLang changes of the process that it starts in, and how that is set back. A newly found change goes here."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def starting(environment: Mapping[str, str], folder: str) -> Iterator[None]:
    """While SGLang starts: variables for its processes, and `folder` for its sockets, which it leaves behind.

    Afterwards these, the handlers of the root logger and the start method of processes are what they were before.
    """
    with ExitStack() as stack:
        for changed in (_environment(environment), _temporary_files_in(folder), _root_logger(), _start_method()):
            stack.enter_context(changed)
        yield


def ignore_quit() -> Any:
    """Ignore SIGQUIT, which a dying process of SGLang sends to this one; returns what was set before.

    Off the main thread nothing can be set, and None is returned.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGQUIT, lambda number, frame: None)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _root_logger() -> Iterator[None]:
    """Out of SGLang's reach: it would close a run's handlers and put its own in their place."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


@contextmanager
def _start_method() -> Iterator[None]:
    before = multiprocessing.get_start_method(allow_none=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)
