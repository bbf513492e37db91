"""A server of our own: started on a port of the loopback interface, waited for, and ended with everything it forked.

Between it and this process stands `supervisor`, which ends it however this process ends, and starts it again where it
dies by itself.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from mopd_backends.servers import supervisor
from mopd_backends.servers.api import ServerApi
from mopd_core.errors import GeneratorError

log = logging.getLogger(__name__)

RESTARTS = 3
"""How often a server that dies during a run is started again."""

_STDERR = 2
_PROBE_S = 20.0
_NOTICE_S = 20.0
_POLL_S = 0.2
_STOP_S = 30.0
_TAIL_LINES = 15
_TAIL_BYTES = 16_384


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def url_of(command: Sequence[str], port: int) -> str:
    """Where the server of a command line answers: on the loopback interface and `port`, if no flag says otherwise."""
    said, named = _flag(command, "--host") or "127.0.0.1", _flag(command, "--port") or ""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(said, said)
    place = int(named) if named.isdecimal() else port
    return f"http://[{host}]:{place}" if ":" in host else f"http://{host}:{place}"


def _flag(command: Sequence[str], name: str) -> str | None:
    """The value of a flag, `--name VALUE` or `--name=VALUE`: the last one wins."""
    found = None
    for word, following in zip(command, [*command[1:], None], strict=True):
        if word == name:
            found = following
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found


def _compiled() -> str:
    """Where torch keeps compiled code by default: outside the temporary folder of one server, which goes with it."""
    return str(Path(tempfile.gettempdir(), f"torchinductor_{os.getuid()}"))


async def is_healthy(api: ServerApi, url: str) -> bool:
    """Whether a server is there and can sample."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=_PROBE_S) as client:
        try:
            return await api.healthy(client)
        except httpx.HTTPError:
            return False


class ManagedServer:
    """A server process and all that it starts.

    log_path: where its output goes, appended; None: to stderr. restarts: how often it is started again if it dies after
    it has answered. `stop` ends it and all that it started, and so does the end of this process, by whatever signal.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path | None = None,
        restarts: int = RESTARTS,
    ) -> None:
        self._log_path = log_path
        self._restarts = restarts
        self._is_stopped = False
        with ExitStack() as stack:
            output = _STDERR if log_path is None else stack.enter_context(log_path.open("ab"))
            read_end, self._pipe = os.pipe()
            stack.callback(os.close, read_end)
            self._process = subprocess.Popen(
                [sys.executable, "-I", supervisor.__file__, str(os.getpid()), *command],
                stdin=read_end,
                stdout=output,
                stderr=output,
                env={"TORCHINDUCTOR_CACHE_DIR": _compiled(), **os.environ, **environment},
                start_new_session=True,
            )

    def wait_until(self, answers: Callable[[], bool], longest_s: float) -> None:
        """Return once it answers; it may then be started again. Raises `GeneratorError` if it ends, or does not."""
        start, notice = time.monotonic(), _NOTICE_S
        while not answers():
            waited = time.monotonic() - start
            if self._process.poll() is not None:
                raise GeneratorError(f"the server ended before it could answer. {self._last_lines()}")
            if waited > longest_s:
                raise GeneratorError(f"the server did not answer within {longest_s:g} s. {self._last_lines()}")
            if waited >= notice:
                log.warning("waiting for the server, %.0f s", waited)
                notice += _NOTICE_S
            time.sleep(_POLL_S)
        self._say(b"r" * self._restarts)

    def given_up(self) -> str | None:
        """Why it will not come back; None while it runs or is being started again."""
        if self._process.poll() is None:
            return None
        return f"the server that this run started ended {self._restarts + 1} times. {self._last_lines()}"

    def wait(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self._process.wait()

    def stop(self) -> None:
        """End it, and wait until nothing of it is left. Calling it twice is fine."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._say(b"q")
        os.close(self._pipe)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("the server's processes do not end within %g s, even killed; they are left", _STOP_S)
            self._process.kill()

    def _say(self, words: bytes) -> None:
        try:
            os.write(self._pipe, words)
        except BrokenPipeError:
            log.info("the server has ended with code %s", self._process.poll())

    def _last_lines(self) -> str:
        if self._log_path is None:
            return "Its last words are above."
        with self._log_path.open("rb") as file:
            file.seek(max(0, self._log_path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"The last lines of {self._log_path}:", *lines])
