"""`mopd compare` on folders that are written by hand: numbers, seeds, and runs that measure different things."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from cli import main
from mopd_core.analysis import compare_report
from mopd_core.analysis.bootstrap import crossed_interval
from mopd_core.analysis.compare import compare
from mopd_core.config.load import load_config
from mopd_core.errors import CheckpointError, ConfigError
from mopd_core.tracking.run_folder import RunFolder

N_PROMPTS, SAMPLES = 10, 4


@pytest.fixture(scope="module")
def base(registries):
    """A run's config, as its folder holds it."""
    options = [
        "data.train=20",
        f"data.held_out={N_PROMPTS}",
        "rollout.prompts=2",
        f"evaluation.samples={SAMPLES}",
        "rollout.group_size=4",
    ]
    return load_config(None, registries, options=options).model_dump(mode="json")


@pytest.fixture
def write_run(tmp_path, base):
    """Writes a run. successes: by step, of each prompt. settings: by dotted path."""

    def write(name, successes, names=None, length=10.0, known=SAMPLES, **settings):
        config = json.loads(json.dumps(base))
        for path, value in settings.items():
            *sections, last = path.split("__")
            place = config
            for section in sections:
                place = place[section]
            place[last] = value
        folder = RunFolder.create(tmp_path / name)
        folder.write_config(config)
        names = names or [f"chain/held_out/{number:06d}" for number in range(N_PROMPTS)]
        for step, counts in successes.items():
            outcomes = [
                SimpleNamespace(id=name, known=known, successes=count)
                for name, count in zip(names, counts, strict=False)
            ]
            folder.write_evaluation(step, SAMPLES, outcomes)
        for step in range(1, max(successes) + 1):
            folder.append_metrics(step, {"rollout/length_mean": length})
        folder.close()
        return tmp_path / name

    return write


LOW, HIGH = [0, 1, 2, 0, 1, 2, 0, 1, 2, 1], [1, 2, 3, 1, 2, 3, 1, 2, 3, 2]


def test_a_difference_is_taken_prompt_by_prompt(write_run, registries):
    """Every prompt gains one sample of four: the difference has no spread, though the means have."""
    found = compare(
        [write_run("a", {0: LOW, 2: LOW}), write_run("b", {0: LOW, 2: HIGH}, selector__name="positive")], registries
    )
    a, b = found.rows
    assert (a.mean.mean, b.mean.mean) == pytest.approx((0.25, 0.5))
    assert a.mean.low < 0.2 < 0.3 < a.mean.high
    assert (b.mean_difference.mean, b.mean_difference.low, b.mean_difference.high) == pytest.approx((0.25, 0.25, 0.25))
    assert a.mean_difference is None
    assert (a.passed.mean, b.passed.mean) == (0.7, 1.0)
    assert b.passed_difference.mean == pytest.approx(0.3)


def test_intervals_are_those_of_the_bootstrap(write_run, registries):
    found = compare(
        [write_run("a", {0: LOW, 1: LOW}), write_run("b", {0: LOW, 1: HIGH[::-1]}, seed=3, selector__successes=1)],
        registries,
    )
    a, b = (np.array([counts]) / SAMPLES for counts in (LOW, HIGH[::-1]))
    assert found.rows[0].mean == crossed_interval(a)
    assert found.rows[1].mean_difference == crossed_interval(b, a)


def test_runs_that_differ_in_their_seed_are_one_method(write_run, registries):
    paths = [write_run(f"mine-seed{n}", {0: LOW, 2: counts}, seed=n) for n, counts in enumerate((LOW, HIGH))]
    other = write_run("other", {0: LOW, 2: LOW}, objective={"name": "grpo", "clip": 0.2})
    found = compare([*paths, other], registries)
    mine, theirs = found.rows
    assert (mine.method.name, len(mine.method.runs), theirs.method.name) == ("mine", 2, "other")
    assert mine.mean.mean == pytest.approx(0.375)
    assert mine.mean == crossed_interval(np.array([LOW, HIGH]) / SAMPLES)
    assert theirs.mean_difference.mean == pytest.approx(-0.125)
    assert found.settings["objective.name"] == ('"distill"', '"grpo"')


def test_a_setting_that_changes_no_result_makes_no_other_method(write_run, registries):
    paths = [
        write_run("a", {0: LOW}),
        write_run("b", {0: LOW}, seed=1, training__micro_batch_tokens=7),
        write_run("c", {0: LOW}, seed=2, verifier__workers=7, generator__batch_size=3),
    ]
    (row,) = compare(paths, registries).rows
    assert len(row.method.runs) == 3


def test_two_runs_of_one_seed_are_never_taken_for_two_draws(write_run, registries):
    found = compare([write_run("x/run", {0: LOW}), write_run("y/run", {0: LOW})], registries)
    assert [len(row.method.runs) for row in found.rows] == [1, 1]
    assert [row.method.name[-5:] for row in found.rows] == ["x/run", "y/run"]


def test_curves_count_what_training_has_sampled(write_run, registries):
    path = write_run("a", {0: LOW, 2: LOW, 4: HIGH}, length=12.5)
    (row,) = compare([path], registries).rows
    assert [(point.step, point.rollouts, point.tokens) for point in row.curve] == [
        (0, 0, 0),
        (2, 16, 200),
        (4, 32, 400),
    ]
    assert [point.mean.mean for point in row.curve] == pytest.approx([0.25, 0.25, 0.5])


def test_a_target_is_reached_by_the_first_evaluation_at_it(write_run, registries):
    paths = [
        write_run("m-0", {0: LOW, 1: HIGH, 2: LOW, 3: HIGH}),
        write_run("m-1", {0: LOW, 1: LOW, 2: LOW, 3: HIGH}, seed=1),
        write_run("n", {0: LOW, 3: LOW}, selector__name="none"),
    ]
    found = compare(paths, registries, target=0.5)
    reached = [row.reached for row in found.rows]
    assert (reached[0].runs, reached[0].rollouts, reached[0].tokens) == (2, 16, 160)
    assert reached[1].runs == 0
    text = compare_report.markdown(found)
    assert "| 16 | 160 |" in text
    assert "| not reached | not reached |" in text
    other = compare_report.markdown(compare(paths, registries, target=0.705))
    assert "| rollouts to 70.5% | tokens to 70.5% |" in other
    assert compare_report.as_json(found)["methods"][1]["reached"] == {"runs": 0, "rollouts": None, "tokens": None}


def test_where_runs_watch_some_prompts_the_curve_is_of_those(write_run, registries):
    (row,) = compare([write_run("a", {0: LOW, 1: HIGH[:4], 2: HIGH})], registries).rows
    assert [point.mean.prompts for point in row.curve] == [4, 4, 4]
    assert (row.mean.prompts, row.mean.mean) == (10, 0.5)


def test_a_run_that_was_stopped_is_named_with_the_step_that_its_numbers_are_of(write_run, registries):
    whole = write_run("whole", {0: LOW, 2: HIGH}, training__steps=2)
    stopped = write_run("stopped", {0: LOW, 2: HIGH[:4]}, training__steps=6, evaluation__prompts=4)
    found = compare([whole, stopped], registries)
    text = compare_report.markdown(found)
    assert "| stopped | 1 | 0 | 0 | 0 | 25.0%" in text
    assert "| whole | 1 | 2 | 16 | 160 | 25.0%" in text
    assert f"\nNot finished, and measured before their end: {stopped} after step 0 of 6.\n" in text
    assert "Not finished" not in compare_report.markdown(compare([whole], registries))
    assert [run["steps"] for each in compare_report.as_json(found)["methods"] for run in each["runs"]] == [2, 6]


def test_prompts_that_were_not_wholly_judged_are_left_out(write_run, registries, tmp_path):
    a, b = write_run("a", {0: LOW, 1: LOW}), write_run("b", {0: LOW, 1: HIGH}, seed=1)
    file = RunFolder(b).evaluation_path(1)
    found = json.loads(file.read_text())
    found["prompts"][3]["known"] = 2
    file.write_text(json.dumps(found))
    comparison = compare([a, b], registries)
    assert (comparison.prompts, comparison.left_out) == (9, 1)
    assert "9 held-out prompts, the same for all (1 left out" in compare_report.markdown(comparison)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rollout__success_threshold": 0.5}, "rollout.success_threshold is 1.0 and 0.5"),
        ({"verifier__timeout_s": 7.0}, "verifier is {"),
        ({"evaluation__sampling": {"temperature": 0.0}}, "evaluation.sampling is {"),
        ({"data__seed": 5}, "the held-out prompt 'chain/held_out/000000' is not the same in both"),
    ],
)
def test_runs_that_measure_something_else_are_refused(write_run, registries, settings, message):
    paths = [write_run("a", {0: LOW}), write_run("b", {0: LOW}, **settings)]
    with pytest.raises(ConfigError) as error:
        compare(paths, registries)
    assert f"a' and '{paths[1]}' cannot be compared: {message}" in str(error.value)


def test_other_prompts_are_named(write_run, registries):
    names = [f"chain/held_out/{number:06d}" for number in range(2, 9)]
    paths = [write_run("a", {0: LOW}), write_run("b", {0: LOW[:7]}, names=names)]
    with pytest.raises(
        ConfigError, match=r"3 of the 10 prompts that '.*a' holds out are none of the 7 of '.*b'"
    ) as error:
        compare(paths, registries)
    assert "such as 'chain/held_out/000000'" in str(error.value)


def test_more_training_prompts_of_the_same_source_are_no_difference(write_run, registries):
    paths = [write_run("a", {0: LOW}), write_run("b", {0: LOW}, data__train=7)]
    assert len(compare(paths, registries).rows) == 2


def test_runs_that_cannot_be_paired_are_refused(write_run, registries, base, tmp_path):
    old = RunFolder.create(tmp_path / "old")
    old.write_config(base)
    with pytest.raises(CheckpointError, match=r"old' has no evaluations/: the run was made before"):
        compare([old.path], registries)
    with pytest.raises(CheckpointError, match=r"has no held-out prompts; set data\.held_out"):
        compare([write_run("empty", {0: []})], registries)
    with pytest.raises(ConfigError, match="no held-out prompt has 4 judged samples"):
        compare([write_run("unjudged", {0: [0] * 10}, known=0)], registries)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", "[1]"),
        ("config.json", "{}"),
        ("metrics.jsonl", "[1]\n"),
        ("metrics.jsonl", '{"step": 1}\n'),
        ("evaluations/step-000000.json", "[1]"),
    ],
)
def test_a_damaged_run_is_refused(write_run, registries, file, text):
    path = write_run("a", {0: LOW})
    (path / file).write_text(text)
    with pytest.raises(CheckpointError, match=rf"{file}.* is damaged"):
        compare([path], registries)


@pytest.fixture
def mopd(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["mopd", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, *capsys.readouterr()

    return run


def test_the_command_prints_a_table_and_writes_files(write_run, mopd, tmp_path):
    paths = [write_run("a", {0: LOW, 2: LOW}), write_run("b", {0: LOW, 2: HIGH}, selector__name="positive")]
    code, out, err = mopd(*paths, "--out", tmp_path / "out", "--target", "0.4")
    assert (code, err) == (0, "")
    row = next(line for line in out.splitlines() if line.startswith("| b |"))
    assert "| +25.0 [+25.0, +25.0] |" in row
    folder = tmp_path / "out"
    assert {path.name for path in folder.iterdir()} == {"compare.md", "compare.csv", "compare.json", "accuracy.svg"}
    assert (folder / "compare.md").read_text() == out
    assert json.loads(mopd(*paths, "--target", "0.4", "--json")[1]) == json.loads((folder / "compare.json").read_text())
    lines = list(csv.DictReader((folder / "compare.csv").open()))
    assert {line["quantity"] for line in lines} >= {"mean@4", "pass@4", "mean@4 difference", "mean@4 watched"}
    svg = (folder / "accuracy.svg").read_bytes()
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    mopd(*paths, "--out", folder)
    assert (folder / "accuracy.svg").read_bytes() == svg


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: 'nowhere' holds no run"),
        (["{run}", "{run}"], "error: a run is named twice; name each once"),
        (["{run}", "--target", "60"], "error: --target is 60; allowed: an accuracy above 0 and up to 1"),
    ],
)
def test_bad_input_is_one_line(write_run, mopd, arguments, message):
    run = write_run("a", {0: LOW})
    code, out, err = mopd(*(each.format(run=run) for each in arguments))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(message)


def test_a_real_run_is_read(trained, registries):
    """Its own account of itself says the same."""
    folder = RunFolder.open(trained)
    (row,) = compare([trained], registries).rows
    summary = folder.read_summary()
    assert row.before.mean == pytest.approx(summary["before"]["mean@2"])
    assert row.mean.mean == pytest.approx(summary["after"]["mean@2"])
    assert row.passed.mean == pytest.approx(summary["after"]["pass@2"])
    assert (row.curve[-1].rollouts, row.curve[-1].tokens) == (summary["rollouts"], summary["tokens"])
    assert [point.step for point in row.curve] == [0, 1, 2]
