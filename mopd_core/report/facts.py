"""What the head of a report says: what the run is, how far it came, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from mopd_core.report.reading import Run
from mopd_core.report.starts import Start, starts
from mopd_core.tracking.progress import clock

CHOICES = ("generator", "verifier", "selector", "divergence", "teacher", "objective")
"""Sections of the config whose `name` says most of what a run is."""

OF_A_TEACHER = ("selector", "divergence", "teacher")
"""Those that an objective without a teacher does not read."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A number of the head. change: since the run began, in points, if there is one."""

    label: str
    value: str
    note: str = ""
    change: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """state: in a word or two. is_over: whether the run has written its summary. choices: labels and names.

    starts: what the run ran on.
    """

    name: str
    state: str
    is_over: bool
    choices: list[tuple[str, str]]
    tiles: list[Tile]
    starts: list[Start]


def facts(run: Run) -> Facts:
    """Of a run at any time of its life; what is not there yet is left out."""
    tiles = [*_scores(run), *_amounts(run)]
    return Facts(run.name, _state(run), run.summary is not None, _choices(run), tiles, starts(run))


def _state(run: Run) -> str:
    if run.summary is None:
        return "not finished"
    if run.summary.get("finished"):
        return "finished"
    return f"stopped by the {run.summary.get('stopped_by')}"


def _choices(run: Run) -> list[tuple[str, str]]:
    config = run.config
    has_teacher = not run.metrics or any("context/share" in record for record in run.metrics)
    sections = [section for section in CHOICES if has_teacher or section not in OF_A_TEACHER]
    model, data = config.get("model") or {}, config.get("data") or {}
    path, family = data.get("path"), data.get("family")
    source = " ".join(str(part) for part in (data.get("name"), family or path) if part)
    found = [("model", str(model.get("path", ""))), ("data", source)]
    found += [(section, str((config.get(section) or {}).get("name", ""))) for section in sections]
    rollout, training = config.get("rollout") or {}, config.get("training") or {}
    if "prompts" in rollout and "group_size" in rollout:
        found.append(("step", f"{rollout['prompts']} prompts × {rollout['group_size']} rollouts"))
    found += [(name, f"{training[name]:g}") for name in ("lr",) if isinstance(training.get(name), int | float)]
    found += [("seed", str(config["seed"]))] if "seed" in config else []
    return [(label, value) for label, value in found if value]


def _scores(run: Run) -> list[Tile]:
    """Held-out scores: before and after, or the newest of a run that has not come to its end.

    The newest one may be of fewer prompts than the one before training; then they are not compared.
    """
    summary = run.summary or {}
    before, after = summary.get("before") or {}, summary.get("after") or {}
    last = {
        name.removeprefix("evaluation/"): value
        for record in run.metrics
        for name, value in record.items()
        if name.startswith("evaluation/") and "@" in name and isinstance(value, int | float)
    }
    whole = bool(after) or (run.config.get("evaluation") or {}).get("prompts") is None
    tiles = []
    for name, value in (after or last).items():
        if whole and isinstance(before.get(name), int | float):
            change = 100 * (value - before[name])
            tiles.append(Tile(f"held-out {name}", _percent(value), f"{_percent(before[name])} before", change))
        else:
            tiles.append(Tile(f"held-out {name}", _percent(value), "newest evaluation"))
    best = summary.get("best") or {}
    if "step" in best:
        scores = ", ".join(f"{name} {_percent(value)}" for name, value in best.items() if "@" in name)
        tiles.append(Tile("best step", str(best["step"]), scores))
    return tiles


def _amounts(run: Run) -> list[Tile]:
    summary = run.summary or {}
    done = run.metrics[-1]["step"] if run.metrics else 0
    planned = (run.config.get("training") or {}).get("steps")
    skipped = summary.get("skipped_steps") or 0
    tiles = [Tile("steps", f"{done:,}", f"of {planned:,}" if planned else "")]
    if skipped:
        tiles[0] = Tile("steps", f"{done:,}", f"{skipped} without an update")
    if "rollouts" in summary:
        tiles.append(Tile("rollouts", f"{summary['rollouts']:,}", f"{summary.get('tokens', 0):,} tokens"))
    seconds = summary.get("seconds", sum(record.get("time/step_s") or 0.0 for record in run.metrics))
    if seconds:
        tiles.append(Tile("duration", clock(float(seconds)), "h:mm:ss" if seconds >= 3600 else "m:ss"))
    return tiles


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"
