"""What each method makes of the bundled tasks: the same model, data, seeds and rollout budget, run after run.

Prints a row a run and a Markdown table of means and ranges over the seeds; the last line is JSON. Finished runs stay
in --out and are not repeated, so that the script can be interrupted. About a minute a run on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean

METHODS = {
    "MOPD (contrastive 2S1F)": [],
    "SDPO (first-success)": ["--selector", "first-success"],
    "GRPO": ["--objective", "grpo"],
    "no context, frozen teacher": ["--selector", "none", "--teacher", "frozen"],
}


def run_once(folder: Path, method: list[str], options: list[str]) -> dict[str, float]:
    """One run's figures, in points of held-out mean@8 and pass@8; reads a finished run instead of repeating it."""
    started = time.perf_counter()
    if not (folder / "summary.json").exists():
        command = [sys.executable, "-m", "mopd_core", "run", *method, "--out", str(folder)]
        resume = ["--resume"] if (folder / "config.json").exists() else []
        subprocess.run([*command, *options, *resume], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (folder / "wall_s").write_text(str(time.perf_counter() - started))
    summary = json.loads((folder / "summary.json").read_text())
    name = next(key for key in summary["before"] if key.startswith("mean"))
    passed = name.replace("mean", "pass")
    before, after, best = summary["before"], summary["after"], summary["best"]
    return {
        "before": 100 * before[name],
        "after": 100 * after[name],
        "gain": 100 * (after[name] - before[name]),
        "below_best": 100 * (best[name] - after[name]),
        "pass_before": 100 * before[passed],
        "pass_after": 100 * after[passed],
        "train_s": summary["seconds"],
        "wall_s": float((folder / "wall_s").read_text()),
    }


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Means over the seeds, with the lowest and the highest."""
    lines = [
        "| method | mean@8 before | after | gain (lowest to highest) | below its best | pass@8 after | training, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, runs in results.items():
        gains = [run["gain"] for run in runs]
        average = {key: mean(run[key] for run in runs) for key in runs[0]}
        lines.append(
            f"| {method} | {average['before']:.1f} | {average['after']:.1f} "
            f"| {average['gain']:+.1f} ({min(gains):+.1f} to {max(gains):+.1f}) "
            f"| {max(run['below_best'] for run in runs):.1f} at most | {average['pass_after']:.1f} "
            f"| {average['train_s']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; each computes with one thread")
    parser.add_argument("-o", dest="options", action="append", default=[], help="an option for every run")
    arguments = parser.parse_args()
    extra = [part for option in arguments.options for part in ("-o", option)]

    def run(method: str, seed: int) -> dict[str, float]:
        slug = "".join(c if c.isalnum() else "-" for c in method.lower()).strip("-")
        figures = run_once(arguments.out / f"{slug}-{seed}", METHODS[method], [*extra, "-o", f"seed={seed}"])
        print(method, seed, {key: round(value, 1) for key, value in figures.items()}, flush=True)
        return figures

    with ThreadPoolExecutor(arguments.jobs) as pool:
        pending = {m: [pool.submit(run, m, seed) for seed in range(arguments.seeds)] for m in METHODS}
    results = {method: [future.result() for future in futures] for method, futures in pending.items()}
    print(table(results))
    gains = {f"learning.{method}": [round(run["gain"], 2) for run in runs] for method, runs in results.items()}
    print(json.dumps(gains))


if __name__ == "__main__":
    main()
