"""Each layer holds by itself: its violation succeeds in a child without it and fails in a child with it alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mopd_core.errors import ConfigError
from mopd_verifiers.sandbox import probe
from mopd_verifiers.sandbox.api import Interpreter, Limits, Program, Result, Sandbox, SandboxConfig
from mopd_verifiers.sandbox.inside import seccomp
from mopd_verifiers.sandbox.inside.setup import LAYERS

SHORT = Limits(wall_s=20.0, memory_mb=64)

VIOLATIONS = {
    "rlimits, memory": ("rlimits", "x = bytearray(256 << 20); print('done')"),
    "rlimits, descriptors": ("rlimits", "import os\nfor _ in range(70): os.dup(0)\nprint('done')"),
    "rlimits, core files": ("rlimits", "import resource as r\nprint(r.getrlimit(r.RLIMIT_CPU)[1] < 0 and 'done')"),
    "landlock, writing": ("landlock", "open('CANARY', 'r+').close(); print('done')"),
    "landlock, making files": ("landlock", "open('CANARY.2', 'w').close(); print('done')"),
    "landlock, reading": ("landlock", "open('/etc/hostname').close(); print('done')"),
    "landlock, listing": ("landlock", "import os; os.listdir('/'); print('done')"),
    "landlock, the process table": ("landlock", "open('/proc/self/status').close(); print('done')"),
    "seccomp, fork": ("seccomp", "import os\nif not os.fork(): os._exit(0)\nos.wait(); print('done')"),
    "seccomp, sockets": ("seccomp", "import socket; socket.socket().close(); print('done')"),
    "seccomp, datagrams": (
        "seccomp",
        "import socket as s\nfor x in s.socketpair(s.AF_UNIX, s.SOCK_DGRAM): x.close()\nprint('done')",
    ),
    "seccomp, signals": ("seccomp", "import os; os.kill(os.getpid(), 0); print('done')"),
    "seccomp, signals by fcntl": (
        "seccomp",
        "import fcntl, os\nr, _ = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, os.getpid()); print('done')",
    ),
    "seccomp, modes": ("seccomp", "import os; os.chmod('CANARY', 0o640); print('done')"),
    "seccomp, memory files": ("seccomp", "import os; os.memfd_create('x'); print('done')"),
    "seccomp, other limits": (
        "seccomp",
        "import resource as r, os; r.prlimit(os.getppid(), r.RLIMIT_NOFILE); print('done')",
    ),
    "seccomp, its CPU limit": (
        "seccomp",
        "import resource as r; r.setrlimit(r.RLIMIT_CPU, (900, 900)); print('done')",
    ),
    "namespaces, processes": ("namespaces", "import os; print('done' if os.getppid() != 1 else '')"),
    "namespaces, network": (
        "namespaces",
        "import socket; socket.create_server(('127.0.0.1', 0)); print(len(socket.if_nameindex()) > 1 and 'done')",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_succeeds_only_without_its_layer(
    name: str, run_under: Callable[..., Result], tmp_path: Path
) -> None:
    layer, source = VIOLATIONS[name]
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    source = source.replace("CANARY", str(canary))
    if why := {found: detail for found, holds, detail in probe.examine() if not holds}.get(layer):
        pytest.skip(why)
    without = run_under((), source, SHORT)
    assert b"done" in without.stdout, without
    assert b"done" not in run_under((layer,), source, SHORT).stdout


def test_every_layer_has_a_finding() -> None:
    assert [layer for layer, _, _ in probe.examine()] == list(LAYERS)


def test_a_required_layer_that_is_missing_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_findings", lambda bubblewrap: {**dict.fromkeys(LAYERS, ""), "landlock": "too old"})
    with pytest.raises(ConfigError) as caught:
        Sandbox(SandboxConfig(), workers=1)
    text = str(caught.value)
    assert "'landlock'" in text
    assert "too old" in text
    assert "sandbox.require" in text
    assert "\n" not in text


def test_a_layer_that_was_waived_is_a_caveat_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {**dict.fromkeys(LAYERS, ""), "landlock": "too old", "namespaces": "not allowed"}
    monkeypatch.setattr(probe, "_findings", lambda bubblewrap: lacking)
    weak = Sandbox(SandboxConfig(require=("rlimits", "seccomp")), workers=1)
    try:
        assert weak.caveats == ("sandbox without landlock",)
        result = weak.run(Program("import os; print(len(os.listdir('/')) > 0)"), Limits())
        assert result.stdout == b"True\n"
        assert {"landlock", "namespaces"} <= set(result.missing)
    finally:
        weak.close()


def test_with_all_of_the_default_there_is_no_caveat(sandbox: Sandbox) -> None:
    assert sandbox.caveats == ()


@pytest.mark.parametrize("module", ["seccomp", "landlock", "identity"])
def test_a_layer_that_fails_to_go_on_is_unknown_and_nothing_runs(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A filter that the kernel refuses; a ruleset that is none; a capability head of no known version."""
    broken = {
        "seccomp": "import mopd_verifiers.sandbox.inside.seccomp as m\nm.build = lambda scratch: b'\\0' * 8\n",
        "landlock": "import mopd_verifiers.sandbox.inside.landlock as m\nm.build = lambda rules: 0\n",
        "identity": (
            "import mopd_verifiers.sandbox.inside.identity as m\nimport ctypes\n"
            "m._CAPABILITY_HEAD = ctypes.create_string_buffer(8)\n"
        ),
    }[module]
    (tmp_path / "breaks_a_layer.py").write_text(f"{broken}\nfrom {Interpreter().entries[0]} import run\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sandbox = Sandbox(SandboxConfig(), workers=1)
    try:
        program = Program(
            "print('ran')", entry="breaks_a_layer:run", interpreter=Interpreter(entries=("breaks_a_layer",))
        )
        result = sandbox.run(program, Limits())
    finally:
        sandbox.close()
    assert result.status == "unknown"
    assert result.stdout == b""
    assert "not started" in result.reason


def test_the_filter_is_small_enough_and_whole() -> None:
    for machine in ("x86_64", "aarch64"):
        for scratch in (False, True):
            code = seccomp.build(scratch, machine)
            assert len(code) % 8 == 0
            assert len(code) // 8 < 4096
