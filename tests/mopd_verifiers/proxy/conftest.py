"""Sessions against trusted candidates in a plain child process. What is hostile runs in the sandbox, elsewhere."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
from contextlib import ExitStack

import pytest

from mopd_verifiers.proxy.session import Session

_SERVE = (
    "import json, sys; from mopd_verifiers.proxy.server import serve; serve(int(sys.argv[1]), json.load(sys.stdin))"
)


@pytest.fixture
def open_session():
    """Opens a session on the candidate's files; closed, and its child reaped, after the test."""
    with ExitStack() as stack:

        def open_one(files, modules=("solution",), **options):
            files = {"solution.py": files} if isinstance(files, str) else files
            sources = {name: textwrap.dedent(source) for name, source in files.items()}
            ours, theirs = socket.socketpair()
            command = [sys.executable, "-c", _SERVE, str(theirs.fileno())]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()])
            stack.callback(child.wait, timeout=10)
            with theirs, child.stdin:
                child.stdin.write(json.dumps(sources).encode())
            return stack.enter_context(Session(ours.detach(), modules, **options))

        yield open_one


@pytest.fixture
def load(open_session):
    """Loads a candidate's only file."""

    def load_one(source, **options):
        return open_session(source, **options).load("solution")

    return load_one
