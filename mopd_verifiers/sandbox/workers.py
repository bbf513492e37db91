"""A bounded number of workers, each with a warm zygote for every kind of interpreter it was asked for."""

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mopd_verifiers.sandbox.bubblewrap import wrapper
from mopd_verifiers.sandbox.inside import scratch
from mopd_verifiers.sandbox.inside.setup import Kind
from mopd_verifiers.sandbox.process import PackageError, Zygote
from mopd_verifiers.sandbox.program import Interpreter

_START_TIMEOUT_S = 60.0


class ClosedError(Exception):
    """The workers were ended."""


class Worker:
    """The zygotes of one worker: one for each interpreter, and another for the second program of a pair.

    Used by one thread at a time, but for `kill`.
    """

    def __init__(self, layers: tuple[str, ...], bubblewrap: bool) -> None:
        self._layers = layers
        self._bubblewrap = bubblewrap
        self._zygotes: dict[tuple[Interpreter, int], Zygote] = {}
        self._folders: dict[tuple[Interpreter, int], Path] = {}
        self._is_killed = False

    def knows(self, interpreter: Interpreter) -> bool:
        """Whether a zygote of this kind is warm."""
        return (interpreter, 0) in self._zygotes

    def zygote(self, interpreter: Interpreter, role: int) -> Zygote:
        """A warm one, started if there is none. Raises `ZygoteError`, `PackageError` and `ClosedError`."""
        key = interpreter, role
        if key not in self._zygotes:
            self._zygotes[key] = self._start(key)
            try:
                if self._is_killed:
                    raise ClosedError
                self._zygotes[key].warm_up(_START_TIMEOUT_S)
            except BaseException:
                self.drop(interpreter, role)
                raise
        return self._zygotes[key]

    def drop(self, interpreter: Interpreter, role: int) -> None:
        """End this zygote; the next one asked for is another."""
        key = interpreter, role
        if zygote := self._zygotes.pop(key, None):
            zygote.kill()
            zygote.end()
        if folder := self._folders.pop(key, None):
            scratch.empty(folder)
            folder.rmdir()

    def kill(self) -> None:
        """Have every zygote end soon, whatever it does. Any thread may call this."""
        self._is_killed = True
        for zygote in list(self._zygotes.values()):
            zygote.kill()

    def end(self) -> None:
        """End every zygote and remove every folder."""
        for interpreter, role in {**self._zygotes, **self._folders}:
            self.drop(interpreter, role)

    def _start(self, key: tuple[Interpreter, int]) -> Zygote:
        interpreter = key[0]
        found_in = _found_in((*interpreter.entries, *interpreter.packages))
        if interpreter.scratch and key not in self._folders:
            self._folders[key] = Path(tempfile.mkdtemp(prefix="mopd-scratch-"))
        folder = str(self._folders.get(key, ""))
        kind = Kind(self._layers, interpreter.entries, interpreter.packages, found_in, folder)
        return Zygote(kind, wrapper(_shown(interpreter), folder) if self._bubblewrap else ())


class Workers:
    """Hands out workers, each to one thread at a time."""

    def __init__(self, size: int, layers: tuple[str, ...], bubblewrap: bool) -> None:
        self._all = [Worker(layers, bubblewrap) for _ in range(size)]
        self._free = list(self._all)
        self._change = threading.Condition()
        self._is_closed = False

    @contextmanager
    def borrow(self, interpreter: Interpreter) -> Iterator[Worker]:
        """Wait for a free worker, one that knows the interpreter if there is a choice. Raises `ClosedError`."""
        with self._change:
            self._change.wait_for(lambda: self._free or self._is_closed)
            if self._is_closed:
                raise ClosedError
            worker = next((worker for worker in reversed(self._free) if worker.knows(interpreter)), self._free[-1])
            self._free.remove(worker)
        try:
            yield worker
        finally:
            with self._change:
                self._free.append(worker)
                self._change.notify_all()

    def close(self) -> None:
        """End every worker, whatever it does. Calling it twice is fine."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()
            for worker in self._all:
                worker.kill()
            self._change.wait_for(lambda: len(self._free) == len(self._all))
        for worker in self._all:
            worker.end()


def _found_in(names: Iterable[str]) -> tuple[str, ...]:
    """The folders in which this process finds the modules. Raises `PackageError` for one that it does not find."""
    return tuple(dict.fromkeys(str(Path(path).parent) for name in names for path in _located(name)))


def _shown(interpreter: Interpreter) -> list[str]:
    """What an interpreter has to see: its entries' own packages, and the folders of its other packages whole."""
    own = [path for name in interpreter.entries for path in _located(name)]
    return [*own, *_found_in(interpreter.packages)]


def _located(name: str) -> list[str]:
    """Where the module's top-level package (or file) is. Raises `PackageError`."""
    top = name.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise PackageError(f"there is no package {top!r} here")
    return list(spec.submodule_search_locations or [spec.origin or ""])
