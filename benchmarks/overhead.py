"""What the framework costs beside the work: the share of a step outside model, generator and verifier.

A real run of the bundled recipe, with everything that is on by default: rollouts saved, metrics written, contexts
built. The run's own metrics say how long each phase took; what no phase accounts for counts as overhead. The learner's
phase is split by a second run under cProfile: model work is its passes, the head with the loss, the backward pass,
clipping and the optimiser, and what remains is Python that cuts and lays out batches, checks weights and gathers
values. A profile makes Python look slower than it is, so that the share is an upper bound. Handing the weights to
teacher and generator is work on tensors, and is counted as overhead all the same. Evaluations and checkpoints are no
part of a step.

    python benchmarks/overhead.py [--threads 1] [--steps 30]

The last line is JSON: {"overhead.fraction": time outside model, generator and verifier over the step's, ...}.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from mopd_core.config.load import load_config
from mopd_core.hookspecs import hookimpl
from mopd_core.registry import load_plugins
from mopd_core.training.run import train

LEARNER = ("training/learner.py", "learn")

MODEL_WORK = {
    "passes": [("training/models.py", "flat_hidden")],
    "head and loss": [("divergences/head.py", "__call__"), ("divergences/head.py", "score")],
    "backward": [("torch/_tensor.py", "backward")],
    "clipping": [("torch/nn/utils/clip_grad.py", "clip_grad_norm_")],
    "optimiser": [("torch/optim/adam.py", "step")],
}
"""The learner's calls that are the model's own work: the end of the file's name, and the function's. None calls another
of them."""

PHASES = ("generate", "verify", "context", "learn", "sync", "record")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: seconds of the median step, and whether they are overhead."""

    name: str
    seconds: float
    is_overhead: bool


class Profiled:
    """A plugin that profiles a run from when all is loaded."""

    def __init__(self) -> None:
        self.profile = cProfile.Profile()

    @hookimpl
    def mopd_run_started(self) -> None:
        self.profile.enable()

    @hookimpl
    def mopd_run_finished(self) -> None:
        self.profile.disable()


def run_steps(options: argparse.Namespace, plugin: Profiled | None = None) -> list[dict[str, float]]:
    """Metrics of a run's steps, without the first few. plugin: what watches the run."""
    registries = load_plugins()
    if plugin is not None:
        registries.manager.register(plugin)
    settings = {
        "rollout.prompts": options.prompts,
        "rollout.group_size": options.group,
        "training.steps": options.warmup + options.steps,
        "training.threads": options.threads,
        "training.device": "cpu",
        "training.lr": 1e-6,
        "data.train": 256,
        "data.held_out": 0,
        "evaluation.every": 0,
    }
    config = load_config(None, registries, options=[f"{path}={value}" for path, value in settings.items()])
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config, registries, run, console=Console(quiet=True))
        lines = (run / "metrics.jsonl").read_text().splitlines()
    return [_metrics(json.loads(line)) for line in lines][options.warmup :]


def _metrics(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name.startswith("time/")}


def profile_steps(options: argparse.Namespace) -> pstats.Stats:
    """The same run under cProfile."""
    plugin = Profiled()
    run_steps(options, plugin)
    return pstats.Stats(plugin.profile)


def seconds_in(stats: pstats.Stats, file: str, function: str) -> float:
    """Seconds in a function and in all that it calls; 0 where it was never called."""
    table: Mapping[tuple[str, int, str], tuple[int, int, float, float, Any]] = stats.stats  # type: ignore[attr-defined]
    found = [value[3] for key, value in table.items() if key[0].endswith(file) and key[2] == function]
    return sum(found)


def shares_of_learner(stats: pstats.Stats) -> dict[str, float]:
    """What part of the learner's time each kind of model work takes. Ends the program where one is not found."""
    whole = seconds_in(stats, *LEARNER)
    shares = {}
    for kind, calls in MODEL_WORK.items():
        seconds = sum(seconds_in(stats, *call) for call in calls)
        if not whole or not seconds:
            raise SystemExit(f"the profile has no calls of {kind}: bring MODEL_WORK up to date with the learner")
        shares[kind] = seconds / whole
    return shares


def split(metrics: Sequence[Mapping[str, float]], shares: Mapping[str, float]) -> list[Row]:
    """The median step, line by line."""
    phases = {phase: statistics.median(row[f"time/{phase}_s"] for row in metrics) for phase in PHASES}
    other = statistics.median(row["time/step_s"] - sum(row[f"time/{phase}_s"] for phase in PHASES) for row in metrics)
    learn = phases.pop("learn")
    model_rows = [Row(f"learn: {kind}", share * learn, False) for kind, share in shares.items()]
    rest = Row("learn: the rest", learn * (1 - sum(shares.values())), True)
    rows = [Row(phase, seconds, phase not in ("generate", "verify")) for phase, seconds in phases.items()]
    return [*rows[:2], *model_rows, rest, *rows[2:], Row("outside all phases", other, True)]


def costliest(stats: pstats.Stats, count: int) -> list[tuple[float, str]]:
    """The framework's own functions with the most seconds of their own, calls left out."""
    table: Mapping[tuple[str, int, str], tuple[int, int, float, float, Any]] = stats.stats  # type: ignore[attr-defined]
    own = [
        (value[2], f"{Path(key[0]).parent.name}/{Path(key[0]).name}:{key[2]}")
        for key, value in table.items()
        if "mopd_" in key[0]
    ]
    return sorted(own, reverse=True)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description="The share of a step outside model, generator and verifier.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=4, help="steps that are not counted")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tiny", action="store_true", help="two prompts and three steps, to see that it runs")
    options = parser.parse_args()
    if options.tiny:
        options.prompts, options.group, options.steps, options.warmup = 2, 4, 3, 1
    torch.set_num_threads(options.threads)

    metrics = run_steps(options)
    stats = profile_steps(options)
    rows = split(metrics, shares_of_learner(stats))
    whole = sum(row.seconds for row in rows)
    overhead = sum(row.seconds for row in rows if row.is_overhead)

    print(f"{options.prompts} prompts x {options.group} rollouts, {options.threads} thread(s), median step")
    print(f"{'':24}{'ms':>9}{'share':>8}")
    for row in rows:
        print(f"{row.name:24}{1e3 * row.seconds:9.2f}{row.seconds / whole:8.1%}{'  overhead' * row.is_overhead}")
    print(f"{'step':24}{1e3 * whole:9.2f}")
    steps = options.warmup + options.steps
    print("own time of the framework's functions, ms a step under the profiler:")
    for seconds, name in costliest(stats, 12):
        print(f"{1e3 * seconds / steps:9.2f}  {name}")
    figures = {"overhead.fraction": round(overhead / whole, 4), "overhead.ms": round(1e3 * overhead, 2)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
