"""What the charts show, by hand: curves, the step profile, held-out prompts, and the head."""

from __future__ import annotations

from typing import Any

import pytest

from mopd_core.report.curves import curves
from mopd_core.report.facts import facts
from mopd_core.report.held_out import held_out
from mopd_core.report.profile import BARS, step_profile
from mopd_core.report.reading import Run
from mopd_core.report.starts import Start, starts

SUMMARY = {
    "finished": True,
    "stopped_by": None,
    "before": {"mean@8": 0.5},
    "after": {"mean@8": 0.75},
    "best": {"step": 2, "mean@8": 0.8},
    "steps": 2,
    "skipped_steps": 0,
    "rollouts": 128,
    "tokens": 4000,
    "seconds": 75.0,
}


def run(**changes: Any) -> Run:
    given = {"name": "r", "config": {}, "metrics": [], "summary": None, "evaluations": [], "steps": []}
    return Run(**given | changes)


def test_curves_are_columns_with_gaps_and_the_important_ones_first() -> None:
    found = curves(
        run(metrics=[{"step": 1, "zz/new": 1.0, "train/loss": 0.123456789}, {"step": 2, "train/loss": None}])
    )
    assert found["steps"] == [1, 2]
    assert found["metrics"] == [
        {"name": "train/loss", "values": [0.12346, None], "shown": True},
        {"name": "zz/new", "values": [1.0, None], "shown": False},
    ]


def test_a_curve_begins_before_the_first_step_where_that_was_measured_on_the_same_prompts() -> None:
    metrics = [{"step": 1, "evaluation/mean@8": 0.6}]
    assert curves(run(metrics=metrics, summary=SUMMARY))["steps"] == [0, 1]
    assert curves(run(metrics=metrics, summary=SUMMARY))["metrics"][0]["values"] == [0.5, 0.6]
    of_some = {"evaluation": {"prompts": 10}}
    assert curves(run(metrics=metrics, summary=SUMMARY, config=of_some))["steps"] == [1]


def test_the_profile_adds_up_to_the_step() -> None:
    times = {"generate": 1.0, "verify": 0.5, "verify_busy": 9.0, "learn": 2.0, "learn_head": 0.75, "learn_student": 1.0}
    metrics = [{"step": 1, "time/step_s": 4.0, "time/tokens_per_s": 7.0} | {f"time/{k}_s": v for k, v in times.items()}]
    found = step_profile(run(metrics=metrics))
    assert {phase["name"]: phase["mean_s"] for phase in found["phases"]} == {
        "generate": 1.0,
        "learn: student": 1.0,
        "learn: head": 0.75,
        "verify": 0.5,
        "learn: the rest": 0.25,
        "the rest": 0.5,
    }
    assert found["phases"][-1]["name"] == "the rest"
    assert found["mean_s"] == 4.0


def test_bars_of_a_long_run_are_means_over_neighbours() -> None:
    metrics = [{"step": step, "time/step_s": float(step)} for step in range(1, 2 * BARS + 2)]
    found = step_profile(run(metrics=metrics))
    assert len(found["steps"]) <= BARS
    assert (found["steps"][:2], found["widths"][:2], found["widths"][-1]) == ([1, 4], [3, 3], 2)
    assert found["phases"][0]["seconds"][:2] == [2.0, 5.0]


def test_a_run_without_times_has_no_profile() -> None:
    assert step_profile(run(metrics=[{"step": 1, "train/loss": 1.0}])) is None


def test_held_out_prompts_are_rows_hardest_first() -> None:
    first = [{"id": "a", "known": 4, "successes": 4}, {"id": "b", "known": 4, "successes": 1}]
    last = [{"id": "a", "known": 0, "successes": 0}, {"id": "b", "known": 4, "successes": 2}]
    found = held_out(run(evaluations=[{"step": 0, "prompts": first}, {"step": 5, "prompts": last}]))
    assert found["steps"] == [0, 5]
    assert found["prompts"] == [{"id": "b", "shares": [0.25, 0.5]}, {"id": "a", "shares": [1.0, None]}]
    assert held_out(run(evaluations=[{"step": 0, "prompts": first}])) is None


def test_the_head_of_a_finished_run() -> None:
    found = facts(run(metrics=[{"step": 2}], summary=SUMMARY, config={"training": {"steps": 2, "lr": 2e-4}}))
    assert (found.state, found.is_over) == ("finished", True)
    tiles = {tile.label: tile for tile in found.tiles}
    assert tiles["held-out mean@8"].value == "75.0%"
    assert tiles["held-out mean@8"].change == pytest.approx(25.0)
    assert tiles["best step"].note == "mean@8 80.0%"
    assert tiles["duration"].value == "1:15"
    assert ("lr", "0.0002") in found.choices


def test_the_head_of_a_run_that_goes_on() -> None:
    metrics = [{"step": 1, "evaluation/mean@8": 0.6, "time/step_s": 2.0}, {"step": 2, "time/step_s": 3.0}]
    found = facts(run(metrics=metrics, config={"training": {"steps": 10}}))
    assert (found.state, found.is_over) == ("not finished", False)
    tiles = {tile.label: (tile.value, tile.note) for tile in found.tiles}
    assert tiles == {
        "held-out mean@8": ("60.0%", "newest evaluation"),
        "steps": ("2", "of 10"),
        "duration": ("0:05", "m:ss"),
    }


def test_the_head_of_a_run_that_has_not_begun() -> None:
    assert [tile.value for tile in facts(run()).tiles] == ["0"]


def test_a_run_that_was_stopped_says_by_what() -> None:
    assert facts(run(summary=SUMMARY | {"finished": False, "stopped_by": "guard"})).state == "stopped by the guard"


def test_the_head_names_no_teacher_where_the_objective_has_none() -> None:
    config = {name: {"name": f"a {name}"} for name in ("objective", "verifier", "selector", "divergence", "teacher")}
    taught, alone = ({"step": 1, "context/share": 0.0}, {"step": 1})
    named = [[label for label, _ in facts(run(metrics=[record], config=config)).choices] for record in (taught, alone)]
    assert named == [["verifier", "selector", "divergence", "teacher", "objective"], ["verifier", "objective"]]


@pytest.mark.parametrize(("prompts", "note"), [(None, "50.0% before"), (4, "newest evaluation")])
def test_a_stopped_runs_newest_score_is_held_against_the_first_one_on_the_same_prompts_alone(
    prompts: int | None, note: str
) -> None:
    stopped = SUMMARY | {"finished": False, "stopped_by": "guard", "after": None}
    metrics = [{"step": 1, "evaluation/mean@8": 0.6}]
    found = facts(run(metrics=metrics, summary=stopped, config={"evaluation": {"prompts": prompts}}))
    (tile,) = (tile for tile in found.tiles if tile.label == "held-out mean@8")
    assert (tile.value, tile.note, tile.change is None) == ("60.0%", note, prompts is not None)


STARTED = {
    "time": "2026-11-23T09:15:02+00:00",
    "step": 0,
    "mopd": "0.1.0",
    "python": "3.12.1",
    "platform": "Linux x86_64 glibc 2.36",
    "packages": {"torch": "2.13.0"},
    "plugins": {"mopd-sql": "0.2"},
    "device": "cpu",
    "dtype": "float32",
    "threads": 1,
    "ranks": 2,
}


def test_what_a_start_ran_on_is_a_row() -> None:
    versions = "mopd 0.1.0, Python 3.12.1, torch 2.13.0, mopd-sql 0.2"
    machine = "cpu, float32, 1 thread, 2 ranks, Linux x86_64 glibc 2.36"
    assert starts(run()) == []
    assert starts(run(starts=[STARTED])) == [Start("2026-11-23 09:15", "0", machine, versions)]


def test_what_did_not_change_since_the_start_before_is_not_repeated() -> None:
    cuda = {"device": "H100", "devices": 8, "dtype": "bfloat16", "ranks": 1}
    rows = starts(run(starts=[STARTED, STARTED | {"step": 7}, STARTED | cuda, STARTED | cuda | {"mopd": "0.2.0"}]))
    assert [row.step for row in rows] == ["0", "7", "0", "0"]
    assert [row.machine for row in rows[1:]] == [
        "same machine",
        "H100 (8 on the machine), bfloat16, 1 thread, 1 rank, Linux x86_64 glibc 2.36",
        "same machine",
    ]
    assert [row.versions for row in rows[1:]] == [
        "same versions",
        "same versions",
        "mopd 0.2.0, Python 3.12.1, torch 2.13.0, mopd-sql 0.2",
    ]


def test_a_start_that_says_little_has_a_row_all_the_same() -> None:
    assert starts(run(starts=[{}])) == [Start("", "", "", "")]
