"""Which way a chunk goes: who may take the fused kernel, and that the faster way is kept. The kernel's own tests
(`interpreted_fused.py`) and its build for a GPU run in processes of their own, where Triton is installed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mopd_core.divergences import fused
from mopd_core.divergences.forward_kl import ForwardKL
from mopd_core.divergences.fused import FasterWay, fused_form
from mopd_core.divergences.jsd import JSD
from mopd_core.divergences.reverse_kl import ReverseKL
from mopd_core.divergences.skew_kl import SkewForwardKL

CPU = torch.device("cpu")
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


class Renamed(JSD):
    """Says no more than where it comes from."""


class Own(JSD):
    """Another formula under an inherited name."""

    def value_and_grad(self, log_p, log_q):
        value, grad = super().value_and_grad(log_p, log_q)
        return 2 * value, 2 * grad


class OwnAndFused(Own):
    fused = "jsd"


@pytest.mark.parametrize(
    ("divergence", "form"),
    [
        (JSD(0.2), "jsd"),
        (ForwardKL(), "forward-kl"),
        (ReverseKL(), "reverse-kl"),
        (Renamed(), "jsd"),
        (Own(), None),
        (OwnAndFused(), None),
        (SkewForwardKL(), None),
        (lambda log_p, log_q: log_p.sum(-1), None),
    ],
    ids=lambda value: getattr(type(value), "__name__", None) if callable(value) else str(value),
)
def test_a_formula_is_fused_where_its_own_class_says_so(divergence, form):
    assert fused_form(divergence) == form


class Chunk:
    """Two ways that write who came last, and what brings the logits back."""

    def __init__(self):
        self.content, self.runs = "logits", []

    def way(self, name):
        def work():
            assert self.content == "logits"
            self.content = name
            self.runs.append(name)

        return work

    def again(self):
        self.content = "logits"

    def run(self, faster):
        faster.run(self.way("fused"), self.way("tiled"), self.again, CPU)


def scripted(**seconds):
    """Measures by a script: the way is run once, and the logits are brought back."""

    def measure(work, again, device):
        work()
        name = again.__self__.content
        again()
        return seconds[name]

    return measure


@pytest.mark.parametrize(("seconds", "chosen"), [((0.5, 2.0), "fused"), ((2.0, 0.5), "tiled")])
def test_the_faster_way_is_kept_and_named(seconds, chosen, caplog):
    faster, chunk = FasterWay(measure=scripted(fused=seconds[0], tiled=seconds[1])), Chunk()
    with caplog.at_level(logging.INFO):
        chunk.run(faster)
    assert chunk.content == chosen
    assert chunk.runs == ["fused", "tiled", chosen]
    chunk.again()
    chunk.run(faster)
    assert chunk.runs == ["fused", "tiled", chosen, chosen]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == f"head: a chunk takes {seconds[0] * 1e3:.3g} ms fused and {seconds[1] * 1e3:.3g} ms tiled: {chosen}"


def test_a_measurement_leaves_the_logits_as_they_were():
    chunk = Chunk()
    assert fused.seconds_of(chunk.way("fused"), chunk.again, CPU) >= 0
    assert chunk.content == "logits"
    assert len(chunk.runs) == fused.REPEATS + 1


def test_a_kernel_that_cannot_be_built_leaves_the_tiles(monkeypatch, caplog):
    class Unbuildable(Exception):
        pass

    class Kernels:
        KernelError = Unbuildable

    def break_off():
        raise Unbuildable("too much shared memory")

    monkeypatch.setattr(fused, "kernels", lambda: Kernels)
    faster, chunk = FasterWay(), Chunk()
    faster.run(break_off, chunk.way("tiled"), chunk.again, CPU)
    assert chunk.runs == ["tiled"]
    assert "tiles are used: too much shared memory" in caplog.text


def run(*arguments, **environment):
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@needs_triton
def test_the_kernel_equals_the_ordinary_path():
    file = Path(__file__).parent / "interpreted_fused.py"
    run("-m", "pytest", file, "-q", "-p", "no:cacheprovider", TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


BUILD = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from mopd_core.divergences import fused_kernel

function = fused_kernel._fused_rows
types = dict.fromkeys(function.arg_names, "i32") | {"targets": "*i64"}
types |= dict.fromkeys(("logits", "slopes", "teacher"), "*bf16")
types |= dict.fromkeys(("of_logprob", "of_divergence", "stats"), "*fp32")
values = {"WEIGHT": 0.5, "TEMPERATURE": 1.0, "SAMPLING": 0.7, "BLOCK": fused_kernel.BLOCK}
for form in ("jsd", "forward-kl", "reverse-kl"):
    values["FORM"] = form
    source = ASTSource(function, types | dict.fromkeys(values, "constexpr"), constexprs=values)
    options = {"num_warps": fused_kernel.WARPS}
    assert compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["cubin"]
"""


@needs_triton
def test_the_kernel_can_be_built_for_hopper(tmp_path):
    """No GPU is needed for that, and the interpreter takes much that the compiler does not."""
    run("-c", BUILD, TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
