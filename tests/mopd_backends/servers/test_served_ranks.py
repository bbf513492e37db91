"""Several ranks over the same servers: the first one writes, sends and starts, and all sample with what it sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from mopd_backends.servers.managed import free_port
from mopd_core.testing.generators import ModuleWeights
from mopd_core.testing.tiny import tiny_student
from mopd_core.types import Prompt, Sampling

PROGRAM = Path(__file__).with_name("rank_program.py")


@pytest.mark.parametrize("kind", ["urls", "managed"])
def test_two_ranks_sample_with_the_weights_that_the_first_one_sent(fakes, engines, served, tmp_path, kind: str):
    engine = engines()
    generator = served(engine)
    generator.sync_weights(ModuleWeights(tiny_student(seed=1)), 5)
    prompt = Prompt("0", ()).with_token_ids(np.arange(5, dtype=np.int32))
    (expected,) = generator.generate([prompt], Sampling(max_tokens=12), seeds=[[0, 1, 7]])
    first, second, both = [[5, *rollout.token_ids.tolist()] for rollout in expected]

    mark, port = uuid4().hex, str(free_port())
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, str(PROGRAM), str(tmp_path / "ranks"), engine.url if kind == "urls" else "managed"]
    (tmp_path / "ranks").mkdir()
    ranks = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **variables, "RANK": rank, "MARK": mark})
        for rank in "01"
    ]
    answers = [json.loads(rank.communicate(timeout=60)[0]) for rank in ranks]
    assert answers == [[first, both], [second, both]]
    assert fakes.processes_marked(mark) == []
