"""What the parent starts: puts on the namespaces, forks the zygote, and watches over it.

The zygote ends when its socket does. Should the parent die while a fork of it holds the socket, this process notices
that it has another parent, and ends the zygote. Nothing of a program ever runs in this process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from pathlib import Path

from mopd_verifiers.sandbox.inside import child, identity, namespaces, orphans, zygote
from mopd_verifiers.sandbox.inside.setup import Kind

_LOOK_AFTER_MS = 1000


def main() -> None:
    """Serve on the socket whose descriptor is the first argument; further ones are a command to serve there instead."""
    parent = os.getppid()
    _protect_others()
    identity.adopt_orphans()
    descriptor, *wrapped = sys.argv[1:]
    if wrapped:
        pid = os.posix_spawn(wrapped[0], wrapped, os.environ)
        os.close(int(descriptor))
    else:
        pid = _fork(int(descriptor))
    _watch(pid, parent)


def serve_wrapped() -> None:
    """Serve on the socket whose descriptor is the first argument, in namespaces that somebody else has made."""
    control = child.reserve(int(sys.argv[1]))
    zygote.serve(control, _kind(control), is_contained=True, number=0)


def _fork(descriptor: int) -> int:
    """Put on the namespaces if they are among the layers, and have a child of this process serve."""
    control = child.reserve(descriptor)
    kind = _kind(control)
    number, is_contained = os.getpid(), "namespaces" in kind.layers
    if is_contained:
        namespaces.enter()
    pid = os.fork()
    if not pid:
        _serve(control, kind, is_contained, number)
    control.close()
    return pid


def _kind(control: socket.socket) -> Kind:
    """The first packet."""
    return Kind.read(json.loads(control.recv(1 << 18)))


def _serve(control: socket.socket, kind: Kind, is_contained: bool, number: int) -> None:
    code = 1
    try:
        identity.die_with_parent()
        identity.adopt_orphans()
        zygote.serve(control, kind, is_contained, number)
        code = 0
    finally:
        os._exit(code)


def _watch(pid: int, parent: int) -> None:
    """Until the zygote has ended; end it when told to by SIGTERM, or when the parent is gone."""
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(pid, signal.SIGKILL))
    poll = select.poll()
    poll.register(os.pidfd_open(pid), select.POLLIN)
    while not poll.poll(_LOOK_AFTER_MS):
        if os.getppid() != parent:
            os.kill(pid, signal.SIGKILL)
    orphans.end_all()


def _protect_others() -> None:
    """When memory is short, let a program go first and not the run that judges it."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
