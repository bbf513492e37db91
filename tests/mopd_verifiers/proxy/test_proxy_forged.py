"""A server that says what it likes: every reply is a value, an exception, or the end of the session."""

from __future__ import annotations

import json
import random
import socket
import threading
import unittest
from contextlib import suppress

import pytest

from mopd_verifiers.proxy.errors import ProtocolError
from mopd_verifiers.proxy.session import Session
from mopd_verifiers.proxy.wire import MAX_MESSAGE_BYTES

OK = {"ok": None, "cells": [], "out": ""}
CLASS = ["Thing", "solution", [], ["__len__", "__iter__", "__call__"], True, None, False]


def frame(reply):
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return len(body).to_bytes(4) + body


def read(stream):
    header = stream.read(4)
    return json.loads(stream.read(int.from_bytes(header))) if len(header) == 4 else None


@pytest.fixture
def answered():
    """A session whose requests are answered by a function from the request to a reply: JSON, or the bytes to send."""
    sessions, threads = [], []

    def open_one(answer, closes=False):
        ours, theirs = socket.socketpair()

        def serve():
            with suppress(ConnectionError), theirs, theirs.makefile("rb") as stream:
                while (request := read(stream)) is not None:
                    reply = OK if request["op"] == "import" else answer(request)
                    if reply is None:
                        return
                    theirs.sendall(reply if isinstance(reply, bytes) else frame(reply))
                    if closes and request["op"] != "import":
                        return

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        sessions.append(Session(ours.detach(), ["solution"]))
        sessions[-1].__enter__()
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.__exit__(None, ProtocolError(), None)
    for thread in threads:
        thread.join(5)


FORGED = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"[" * 100_000,
    b'"' + b"9" * 5000 + b'"',
    b"9" * 5000,
    [],
    {},
    {"ok": 1},
    {"ok": 1, "cells": [], "out": "", "more": 1},
    {"ok": 1, "cells": [], "out": 5},
    {"ok": 1, "cells": []},
    {"ok": 1, "raise": 1, "cells": [], "out": ""},
    {"raise": 1, "cells": [], "out": ""},
    {"raise": {"n": "builtins.ValueError"}, "cells": [], "out": ""},
    {"ok": 1, "cells": 5, "out": ""},
    {"ok": 1, "out": "", "cells": [[0]]},
    {"ok": 1, "cells": [5], "out": ""},
    {"ok": 1, "out": "", "cells": [[7, []]]},
    {"ok": 1, "out": "", "cells": [[-1, []]]},
    {"ok": 1, "out": "", "cells": [[True, []]]},
    {"ok": 1, "out": "", "cells": [[0, {"d": []}]]},
    {"ok": [], "out": "", "cells": [[1, [5]]]},
    {"ok": {"@": 3}, "cells": [], "out": ""},
    {"ok": {"n": "os.system"}, "cells": [], "out": ""},
    {"ok": {"n": "builtins.eval"}, "cells": [], "out": ""},
    {"ok": {"n": "builtins.KeyboardInterrupt"}, "cells": [], "out": ""},
    {"ok": {"n": []}, "cells": [], "out": ""},
    {"ok": {"f": "builtins.len"}, "cells": [], "out": ""},
    {"ok": {"m": "os"}, "cells": [], "out": ""},
    {"ok": {"h": [1]}, "cells": [], "out": ""},
    {"ok": {"h": ["1", 0]}, "cells": [], "out": ""},
    {"ok": {"h": [True, 0]}, "cells": [], "out": ""},
    {"ok": {"h": [1, "0"]}, "cells": [], "out": ""},
    {"ok": {"c": None}, "cells": [], "out": ""},
    {"ok": {"nt": []}, "cells": [], "out": ""},
    {"ok": {"nt": [0, 1]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "builtins.int"}, [], "", "", 0]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "builtins.ValueError"}, [], "", "", "0"]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "builtins.ValueError"}, 5, "", "", 0]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "builtins.ValueError"}, [], 5, "", 0]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "builtins.ValueError"}]}, "cells": [], "out": ""},
    {"raise": {"e": ["builtins.ValueError", [], "", "", 0]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "unittest.case.SkipTest"}, [], "", "", 0]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "_pytest.outcomes.Exit"}, [], "", "", 0]}, "cells": [], "out": ""},
    {"raise": {"e": [{"n": "builtins.ExceptionGroup"}, [], "", "", 0]}, "cells": [], "out": ""},
]


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
def test_what_is_no_answer_breaks_the_session(answered, forged):
    replies = iter([{"ok": {"h": [1, 0]}, "cells": [], "out": ""}, {"ok": CLASS, "cells": [], "out": ""}, forged])
    reply = next(replies)

    def answer(request):
        if request["op"] == "describe":
            return {"ok": CLASS, "cells": [], "out": ""}
        return frame(forged) if request["op"] == "call" else reply

    session = answered(answer)
    thing = session.load("solution").thing
    argument = [1, 2]
    with pytest.raises(ProtocolError):
        thing(argument)
    assert argument == [1, 2]
    with pytest.raises(ProtocolError):
        _ = session.load("solution").other
    with pytest.raises(ProtocolError):
        session.link.check()


FORMS = [
    [],
    CLASS[:-1],
    ["Thing", "solution", [], ["__getattribute__"], True, None, False],
    ["Thing", "solution", [], ["__eq__"], True, None, False],
    ["Thing", "solution", [], ["__class__"], True, None, False],
    ["Thing", "solution", [], [5], True, None, False],
    ["Thing", "solution", [5], [], True, None, False],
    ["Thing", "solution", [{"c": 0}], [], True, None, False],
    ["Thing", "solution", [{"n": "builtins.int"}] * 2 + [{"c": 1}] * 2, [], True, None, False],
    ["Thing\0", "solution", [], [], True, None, False],
    [5, "solution", [], [], True, None, False],
    ["Thing", "solution", [], [], 1, None, False],
    ["Thing", "solution", [], [], True, ["__eq__"], False],
    ["Thing", "solution", [], [], True, ["_mopd_class"], False],
    ["Thing", "solution", [], [], True, ["a b"], False],
    ["Thing", "solution", [], [], True, 5, False],
    ["Thing", "solution", [], [], True, None, "yes"],
    ["Thing", "solution", [], [], True, None, True],
    ["Thing", "solution", [{"n": "builtins.SystemExit"}, {"n": "builtins.OSError"}], [], True, None, True],
]


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_what_is_no_class_breaks_the_session(answered, form):
    session = answered(
        lambda request: {"ok": form if request["op"] == "describe" else {"h": [1, 0]}, "cells": [], "out": ""}
    )
    with pytest.raises(ProtocolError):
        _ = session.load("solution").thing


def test_an_endless_chain_of_classes_breaks_the_session(answered):
    def answer(request):
        if request["op"] != "describe":
            return {"ok": {"h": [1, 0]}, "cells": [], "out": ""}
        return {"ok": ["T", "m", [{"c": request["a"][0] + 1}], [], True, None, False], "cells": [], "out": ""}

    with pytest.raises(ProtocolError, match="too many"):
        _ = answered(answer).load("solution").thing


def test_an_object_cannot_change_its_class(answered):
    def answer(request):
        if request["op"] == "describe":
            return {"ok": CLASS, "cells": [], "out": ""}
        return {"ok": {"h": [1, 0 if request["a"][1] == "one" else 2]}, "cells": [], "out": ""}

    solution = answered(answer).load("solution")
    _ = solution.one
    with pytest.raises(ProtocolError, match="changed its class"):
        _ = solution.two


@pytest.mark.parametrize(
    ("reply", "why"),
    [(None, "process ended"), (b"\0\0\0\5abc", "process ended"), ((MAX_MESSAGE_BYTES + 1).to_bytes(4), "bytes")],
    ids=["nothing", "cut short", "huge"],
)
def test_the_end_of_the_stream_and_huge_messages(answered, reply, why):
    with pytest.raises(ProtocolError, match=why):
        _ = answered(lambda request: reply, closes=True).load("solution").thing


def test_no_except_hides_a_broken_session(answered):
    session = answered(lambda request: {})
    with suppress(Exception):
        _ = session.load("solution").thing
    with pytest.raises(ProtocolError):
        session.link.check()


def test_replies_sent_ahead_are_only_values(answered):
    early = frame({"ok": 1, "cells": [], "out": ""}) * 3
    solution = answered(lambda request: early).load("solution")
    assert solution.thing == 1
    assert solution.thing != 3


@pytest.mark.parametrize("name", ["SkipTest", "Skipped", "Exit", "XFailed", "KeyboardInterrupt", "OutcomeException"])
def test_no_exception_class_is_more_than_a_failure(answered, name):
    form = [name, "_pytest.outcomes", [], [], True, None, True]
    error = {"raise": {"e": [{"c": 0}, ["x"], "x", "", 3]}, "cells": [], "out": ""}
    session = answered(lambda request: {"ok": form, "cells": [], "out": ""} if request["op"] == "describe" else error)
    with pytest.raises(Exception, match="x") as caught:
        _ = session.load("solution").thing
    assert type(caught.value).__mro__[1:3] == (Exception, BaseException)
    assert not isinstance(caught.value, unittest.SkipTest | pytest.skip.Exception)


def test_random_replies_never_do_more_than_break_the_session(answered):
    rng = random.Random(1)
    whole = json.dumps(
        {
            "ok": [{"h": [1, 0]}, {"t": [1, {"d": [1, 2]}]}, {"e": [{"c": 0}, [], "", "", 1]}],
            "out": "",
            "cells": [[0, [1]]],
        }
    )

    def answer(request):
        if request["op"] == "describe":
            return {"ok": CLASS, "cells": [], "out": ""}
        at = rng.randrange(len(whole))
        return frame((whole[:at] + rng.choice('[]{}":,0-th') + whole[at + rng.randrange(3) :]).encode())

    for _ in range(100):
        solution = answered(answer).load("solution")
        with suppress(ProtocolError):
            repr(solution.thing)
