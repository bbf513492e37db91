"""The trainer of docs/embedding.md: it learns on one process, and two processes keep one student."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mopd_core.bundled import model_path

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
LONGEST = 80

SAVES = """
import runpy, sys
sys.argv = ["trainer.py", {model!r}, {steps!r}]
end = runpy.run_path({trainer!r}, run_name="__main__")
rank = end["accelerator"].process_index
end["torch"].save([weight.detach() for weight in end["model"].parameters()], f"weights-{{rank}}.pt")
end["torch"].save([len(group.rollouts[0].token_ids) for group in end["groups"]], f"lengths-{{rank}}.pt")
"""


@pytest.fixture
def trainer(tmp_path: Path) -> Path:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    file = tmp_path / "trainer.py"
    file.write_text(code, encoding="utf-8")
    return file


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def held_out(output: str) -> float:
    return float(output.rsplit("held out: ", 1)[1])


def test_it_fits_on_a_page(trainer: Path) -> None:
    assert len(trainer.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_it_learns_on_one_process(trainer: Path) -> None:
    before = held_out(run(trainer.parent, trainer.name, str(model_path()), "0"))
    after = held_out(run(trainer.parent, trainer.name, str(model_path()), "10"))
    assert after > before + 0.07


def test_two_processes_sample_their_own_and_keep_one_student(trainer: Path) -> None:
    script = trainer.with_name("saves.py")
    script.write_text(SAVES.format(model=str(model_path()), steps="2", trainer=str(trainer)), encoding="utf-8")
    run(trainer.parent, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script.name)
    first, second = (torch.load(trainer.with_name(f"weights-{rank}.pt")) for rank in (0, 1))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    lengths = [torch.load(trainer.with_name(f"lengths-{rank}.pt")) for rank in (0, 1)]
    assert lengths[0] != lengths[1]
