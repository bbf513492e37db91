"""The candidate's half of a pair, for whoever runs one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mopd_verifiers.sandbox.program import Interpreter, Program

_SERVER = "mopd_verifiers.proxy.server"


def candidate_program(files: Mapping[str, str], packages: Sequence[str] = ()) -> Program:
    """The program that serves the candidate's sources, by relative path, to the tests' end of the channel.

    packages: what it may import beside the standard library.
    """
    payload = json.dumps(dict(files)).encode()
    return Program("", payload=payload, entry=f"{_SERVER}:run", interpreter=Interpreter(tuple(packages), (_SERVER,)))
