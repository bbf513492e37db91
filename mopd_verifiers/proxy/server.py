"""The candidate's process: loads its files as modules and answers one request at a time, until nobody asks any more.

A request is `{"op": name, "a": [operands], "k": {name: operand}}`; the answer is `{"ok": value}` or `{"raise":
exception}`, with the changed containers among the operands under `"cells"`, and what was printed under `"out"`. Nothing
here is trusted by the other side: the candidate can reach all of it.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import sys
from collections.abc import Callable
from typing import Any

from mopd_verifiers.proxy import containers, names
from mopd_verifiers.proxy.codec import Decoder, Encoder, TooDeepError, as_list
from mopd_verifiers.proxy.describe import Objects
from mopd_verifiers.proxy.errors import ProtocolError
from mopd_verifiers.proxy.loader import MemoryFinder
from mopd_verifiers.proxy.special import OPERATIONS
from mopd_verifiers.proxy.wire import Json, TooLargeError, Wire
from mopd_verifiers.sandbox.inside.job import Job

_MAX_PRINTED_BYTES = 1 << 18
_OWN_FRAMES = 50
"""This module's frames below the candidate's, which are not to count against the recursion that it may need."""


def run(job: Job) -> None:
    """The entry. The payload is JSON: the candidate's sources by relative path."""
    assert job.channel is not None, "the server of a candidate runs as one of a pair"
    serve(job.channel, json.loads(job.payload))


def serve(channel: int, files: dict[str, str]) -> None:
    """Answer until the other end closes."""
    sys.meta_path.insert(0, MemoryFinder(files))
    sys.setrecursionlimit(sys.getrecursionlimit() + _OWN_FRAMES)
    printed = _Printed()
    sys.stdout = printed
    server = _Server(Wire(channel), Objects(files), printed)
    while server.answer_one():
        pass


class _Printed(io.TextIOWrapper):
    """A standard output that keeps the beginning of what is written until it is taken."""

    def __init__(self) -> None:
        self._kept = io.BytesIO()
        super().__init__(self._kept, encoding="utf-8", errors="surrogatepass", newline="", write_through=True)

    def take(self) -> str:
        """What was written since the last time."""
        text = self._kept.getvalue()[:_MAX_PRINTED_BYTES].decode(errors="replace")
        self._kept.seek(0)
        self._kept.truncate()
        return text


class _Server:
    def __init__(self, wire: Wire, objects: Objects, printed: _Printed) -> None:
        self._wire = wire
        self._printed = printed
        self._objects = objects
        self._loop: asyncio.AbstractEventLoop | None = None
        self._operations: dict[str, Callable[..., Any]] = {
            **OPERATIONS,
            "import": _import,
            "call": _call,
            "getattr": getattr,
            "setattr": setattr,
            "delattr": delattr,
            "dir": _dir,
            "describe": lambda number: objects.class_form(objects[number]),
            "__aiter__": _anew("__aiter__"),
            "__await__": self._finish,
            **{name: self._awaited(name) for name in ("__anext__", "__aenter__", "__aexit__")},
        }

    def answer_one(self) -> bool:
        """Whether there was a request to answer."""
        try:
            request = self._wire.receive()
        except EOFError:
            return False
        decoder = Decoder(self._resolve)
        before: list[list[object]] = []
        try:
            operands = decoder.decode_all(request["a"], 0)
            named = {name: decoder.decode(operand) for name, operand in request["k"].items()}
            before = list(map(_snapshot, decoder.cells))
            result = ("ok", self._operations[request["op"]](*operands, **named))
        except BaseException as error:  # The boundary: a candidate may raise anything, and the tests hear of it.
            result = ("raise", error)
        self._send(*result, decoder.cells, before)
        return True

    def _send(self, verb: str, value: object, cells: list[object], before: list[list[object]]) -> None:
        try:
            self._wire.send(self._answer(verb, value, cells, before))
        except (TooDeepError, TooLargeError, RecursionError) as error:
            cannot = ValueError(f"what the candidate gave back cannot be sent: {error}")
            self._wire.send(self._answer("raise", cannot, [], []))

    def _answer(self, verb: str, value: object, cells: list[object], before: list[list[object]]) -> Json:
        encoder = Encoder(self._objects.refer, cells)
        said = encoder.encode(value)
        changed = [
            [number, encoder.content(cell)]
            for number, (cell, old) in enumerate(zip(cells, before, strict=False))
            if not _is_same(old, _snapshot(cell))
        ]
        return {verb: said, "cells": changed, "out": self._printed.take()}

    def _resolve(self, decoder: Decoder, tag: str, body: Json, depth: int) -> object:
        match tag:
            case "h" | "c":
                return self._objects[body]
            case "n":
                return names.CLASSES[body]
            case "f":
                return names.FUNCTIONS[body]
            case "m":
                return sys.modules[body]
            case "nt":
                return tuple.__new__(self._objects[body[0]], decoder.decode_all(body[1:], depth))
            case "e":
                kind, args = as_list(body)
                return names.CLASSES[kind](*decoder.decode_all(args, depth))
        raise ProtocolError(f"an unknown tag {tag!r}")

    def _finish(self, awaitable: Any) -> object:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_outcome(awaitable))

    def _awaited(self, name: str) -> Callable[..., object]:
        start = _anew(name)
        return lambda one, *operands: self._finish(start(one, *operands))


def _anew(name: str) -> Callable[..., Any]:
    return lambda one, *operands: getattr(type(one), name)(one, *operands)


async def _outcome(awaitable: Any) -> object:
    return await awaitable


def _import(name: str) -> bool:
    """Import a module; whether it is a package."""
    return hasattr(importlib.import_module(name), "__path__")


def _call(*operands: Any, **named: Any) -> object:
    target, *others = operands
    return target(*others, **named)


def _dir(one: object) -> list[str]:
    return [name for name in dir(one) if type(name) is str]


def _snapshot(cell: object) -> list[object]:
    return list(containers.BY_TYPE[type(cell)].take(cell))


def _is_same(old: list[object], new: list[object]) -> bool:
    return len(old) == len(new) and all(map(_is_one, old, new))


def _is_one(old: object, new: object) -> bool:
    return old is new or (type(old) is type(new) and isinstance(old, str | bytes | int) and old == new)
