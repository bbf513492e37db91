"""However a trainer ends, SGLang's processes end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRAINER = """
import sys
from mopd_backends.sglang.config import SglangConfig
from mopd_backends.sglang.engine import build
from mopd_core.testing.tiny import tiny_context, tiny_student

if __name__ == "__main__":
    generator = build(SglangConfig(), tiny_context(tiny_student()))
    print("ready", flush=True)
    raise ValueError(sys.stdin.readline())
"""


def descendants(pid):
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return children + [below for child in children for below in descendants(child)]


def is_running(pid):
    """A process that has ended and that nobody has waited for yet counts as ended."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("end", ["error", "SIGKILL"])
def test_nothing_is_left(end, tmp_path):
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as trainer:
        assert trainer.stdout.readline() == "ready\n"
        processes = descendants(trainer.pid)
        assert len(processes) >= 2
        if end == "error":
            trainer.communicate("done\n", timeout=30)
            assert trainer.returncode == 1
        else:
            os.kill(trainer.pid, signal.Signals[end])
            trainer.wait(timeout=30)
    deadline = time.monotonic() + 20
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [pid for pid in processes if is_running(pid)] == []
