"""A comparison as Markdown, CSV, JSON and a figure: `compare.md`, `compare.csv`, `compare.json`, `accuracy.svg`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from mopd_core.analysis import figures
from mopd_core.analysis.bootstrap import LEVEL, RESAMPLES, Interval
from mopd_core.analysis.compare import Comparison, MethodRow, Reached
from mopd_core.analysis.figures import Line, Panel
from mopd_core.analysis.tables import Cell, csv_text, markdown_table
from mopd_core.tracking.atomic import write_atomically
from mopd_core.tracking.json_text import to_text


def markdown(found: Comparison) -> str:
    """A table of the methods, and one of the settings in which they differ."""
    first = found.rows[0].method.name
    mean, passed = f"mean@{found.k}", f"pass@{found.k}"
    header = ["method", "runs", "step", "rollouts", "tokens", f"{mean} before", mean, passed]
    if len(found.rows) > 1:
        header += [f"{mean} − {first}", f"{passed} − {first}"]
    if found.target is not None:
        header += [f"{what} to {100 * found.target:g}%" for what in ("rollouts", "tokens")]
    table = markdown_table(header, (_row(row, found) for row in found.rows))
    return f"{_about(found)}\n{table}{_unfinished(found)}{_settings(found)}"


def as_json(found: Comparison) -> dict[str, Any]:
    """Everything, with null for what is not a number."""
    numbers = {
        "k": found.k,
        "prompts": found.prompts,
        "left_out": found.left_out,
        "target": found.target,
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "over": "runs and prompts"},
        "methods": [_method(row, found.k) for row in found.rows],
        "settings": {path: list(values) for path, values in found.settings.items()},
    }
    return dict(json.loads(to_text(numbers)))


def write(found: Comparison, folder: Path) -> None:
    """Write all files to a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ("method", "quantity", "step", "rollouts", "tokens", "mean", "low", "high", "prompts")
    files = {
        "compare.md": markdown(found),
        "compare.json": to_text(as_json(found)),
        "compare.csv": csv_text(columns, _lines(found)),
    }
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    panels = [
        Panel(f"held-out mean@{found.k}", label, [_line(row, name) for row in found.rows])
        for name, label in (("rollouts", "training rollouts"), ("tokens", "training tokens"))
    ]
    figures.write(folder / "accuracy.svg", lambda: figures.panels(panels))


def _about(found: Comparison) -> str:
    left_out = f" ({found.left_out} left out: not all samples were judged in all runs)" if found.left_out else ""
    return (
        f"{found.prompts} held-out prompts, the same for all{left_out}; in brackets: {LEVEL:.0%} bootstrap intervals "
        "over prompts, and over runs where there are several. Differences are taken prompt by prompt.\n"
    )


def _row(row: MethodRow, found: Comparison) -> list[str]:
    runs = row.method.runs
    steps = sorted({run.last.step for run in runs})
    cells = [row.method.name, str(len(runs)), ", ".join(map(str, steps))]
    for sampled in ([run.rollouts for run in runs], [run.tokens for run in runs]):
        by_then = [of_run.get(run.last.step) for of_run, run in zip(sampled, runs, strict=True)]
        known = [number for number in by_then if number is not None]
        cells.append(f"{fmean(known):,.0f}" if len(known) == len(runs) else "–")
    cells += [_percent(row.before), _percent(row.mean), _percent(row.passed)]
    if len(found.rows) > 1:
        cells += [_points(row.mean_difference), _points(row.passed_difference)]
    if row.reached is not None:
        cells += _amounts(row.reached, len(runs))
    return cells


def _percent(value: Interval) -> str:
    if math.isnan(value.low):
        return f"{100 * value.mean:.1f}%"
    return f"{100 * value.mean:.1f}% [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _points(value: Interval | None) -> str:
    if value is None:
        return "–"
    ends = "" if math.isnan(value.low) else f" [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"
    return f"{100 * value.mean:+.1f}{ends}"


def _amounts(reached: Reached, runs: int) -> list[str]:
    if not reached.runs:
        return ["not reached", "not reached"]
    some = "" if reached.runs == runs else f" ({reached.runs} of {runs} runs)"
    return [f"{reached.rollouts:,.0f}{some}", f"{reached.tokens:,.0f}{some}"]


def _unfinished(found: Comparison) -> str:
    """Of a run that has not ended, the last evaluation of all prompts may be the one before training."""
    short = [run for row in found.rows for run in row.method.runs if run.last.step < run.steps]
    if not short:
        return ""
    runs = "; ".join(f"{run.path} after step {run.last.step} of {run.steps}" for run in short)
    return f"\nNot finished, and measured before their end: {runs}.\n"


def _settings(found: Comparison) -> str:
    if not found.settings:
        return ""
    header = ["setting", *(row.method.name for row in found.rows)]
    rows = ([path, *values] for path, values in found.settings.items())
    return f"\n## Settings that differ\n\n{markdown_table(header, rows)}"


def _method(row: MethodRow, k: int) -> dict[str, Any]:
    reached = row.reached
    return {
        "method": row.method.name,
        "runs": [
            {
                "path": str(run.path),
                "seed": run.seed,
                "step": run.last.step,
                "steps": run.steps,
                "evaluations": sorted(run.evaluations),
            }
            for run in row.method.runs
        ],
        f"mean@{k} before": row.before.as_dict(),
        f"mean@{k}": row.mean.as_dict(),
        f"pass@{k}": row.passed.as_dict(),
        "difference": None
        if row.mean_difference is None or row.passed_difference is None
        else {f"mean@{k}": row.mean_difference.as_dict(), f"pass@{k}": row.passed_difference.as_dict()},
        "curve": [
            {"step": point.step, "rollouts": point.rollouts, "tokens": point.tokens, f"mean@{k}": point.mean.as_dict()}
            for point in row.curve
        ],
        "reached": None
        if reached is None
        else {"runs": reached.runs, "rollouts": reached.rollouts, "tokens": reached.tokens},
    }


def _lines(found: Comparison) -> Iterator[list[Cell]]:
    k = found.k
    for row in found.rows:
        of_end = {
            f"mean@{k} before": row.before,
            f"mean@{k}": row.mean,
            f"pass@{k}": row.passed,
            f"mean@{k} difference": row.mean_difference,
            f"pass@{k} difference": row.passed_difference,
        }
        for name, value in of_end.items():
            if value is not None:
                yield [row.method.name, name, None, None, None, *_ends(value)]
        for point in row.curve:
            yield [row.method.name, f"mean@{k} watched", point.step, point.rollouts, point.tokens, *_ends(point.mean)]


def _ends(value: Interval) -> list[Cell]:
    return [value.mean, value.low, value.high, value.prompts]


def _line(row: MethodRow, name: str) -> Line:
    return Line(row.method.name, [getattr(point, name) for point in row.curve], [point.mean for point in row.curve])
