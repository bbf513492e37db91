"""The GPU's benchmark: what it counts, by hand, and that it runs on the code as it is."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector
from mopd_core.training import batch, layout
from mopd_core.training.batch import build_step
from mopd_core.types import Prompt, Rollout, RolloutGroup, Verdict


@pytest.fixture(scope="module")
def gpu():
    path = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("benchmark_gpu", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_it_runs_on_a_cpu(gpu, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "--tiny"])
    gpu.main()
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert results["gpu.device"] == "CPU"
    assert results["gpu.tiny.tokens_per_s"] > 0
    assert results["gpu.tiny.utilisation"] is None


def test_the_work_of_a_step_is_counted_by_hand(gpu):
    """One prompt of 20 tokens and two answers of 4 and 3; the teacher is shown 20 more.

    The student's rows are 20 + 3 + 2, its answers' at positions 20 to 22 and 20, 21; the teacher's stand 20 later.
    """
    prompt = Prompt("p", (), token_ids=np.arange(20, dtype=np.int32))
    rollouts = tuple(
        Rollout(np.full(n, 30 + n, np.int32), np.zeros(n, np.float32), "", "stop", 0, np.ones(n, bool)) for n in (4, 3)
    )
    shown = np.arange(40, dtype=np.int32)
    step = build_step([RolloutGroup(prompt, rollouts, (Verdict(1.0, "passed"),) * 2)], [[shown, shown]])
    micros = gpu.passes(step, 10**6)
    assert gpu.unique_tokens(micros) == (25, 45)
    student_looks = 20 * 21 // 2 + (21 + 22 + 23) + (21 + 22)
    teacher_looks = 40 * 41 // 2 + (41 + 42 + 43) + (41 + 42)
    config = SimpleNamespace(
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, hidden_size=16, intermediate_size=10,
        num_hidden_layers=3, vocab_size=50,
    )  # fmt: skip
    weights = 16 * 32 + 2 * 16 * 16 + 32 * 16 + 3 * 16 * 10
    student = 3 * (2 * weights * 25 + 4 * 32 * student_looks)
    teacher = 3 * (2 * weights * 45 + 4 * 32 * teacher_looks)
    head = 2 * 16 * 50 * 7
    assert gpu.step_flops(config, micros) == 3 * student + teacher + 3 * head + head


def test_sharing_comes_back(gpu):
    least = layout.MIN_SHARED
    work = gpu.Work(prompts=1, group=4, question=40, shortest=5, longest=30)
    step = gpu.build_batch(work, 300, ContrastiveSelector(ContrastiveConfig()))
    shared = gpu.unique_tokens(gpu.passes(step, 10**6))
    with gpu.without_sharing():
        unshared = gpu.unique_tokens(gpu.passes(step, 10**6))
    assert unshared[0] == shared[0] + 3 * 40
    assert unshared[1] > shared[1]
    assert layout.MIN_SHARED == batch.MIN_SHARED == least


def test_utilisation_is_work_over_what_the_device_could_do(gpu):
    timed = gpu.Timed({"ema": 1.0}, 5.0, None)
    assert gpu.utilisation(timed, 2e15, 1000.0) == pytest.approx(0.5)
    assert gpu.utilisation(timed, 2e15, None) is None


def test_ratios_are_ours_over_theirs(gpu):
    forms = {
        name: gpu.Timed({"head": head}, step, 100.0)
        for name, head, step in (
            ("as it is", 1.0, 4.0), ("tiled head", 3.0, 6.0), ("fused head", 1.5, 4.0), ("without sharing", 2.0, 10.0)
        )
    }  # fmt: skip
    heads = {"fused": gpu.Timed({}, 1.0, 30.0), "liger": gpu.Timed({}, 2.0, 40.0)}
    found = gpu.figures(forms, heads, 200, 0.4)
    assert found == {
        "step_s": 4.0,
        "tokens_per_s": 50.0,
        "peak_mib": 100.0,
        "utilisation": 0.4,
        "sharing_speedup": 2.5,
        "fused_speedup": 2.0,
        "liger_time_ratio": 0.5,
        "liger_memory_ratio": 0.75,
    }


def test_without_a_gpu_it_says_what_to_do(gpu, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--tiny tries it on a CPU"):
        gpu.main()
