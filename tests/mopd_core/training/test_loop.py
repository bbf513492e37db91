"""The loop on scripted rollouts: what it records, says, saves and refuses."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest
import torch

from mopd_core.errors import ConfigError, DataError, GeneratorError, PluginError, TrainingError
from mopd_core.teachers.ema import EmaTeacher
from mopd_core.types import Verdict


def checkpoint_names(folder):
    return sorted(path.name for path in folder.checkpoints_path.iterdir() if not path.is_symlink())


def linked(folder, name):
    return (folder.checkpoints_path / name).resolve().name


def test_every_step_is_recorded(train_scripted, script):
    run = train_scripted("tracking.rollouts_every=2")
    records = run.folder.read_metrics()
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    for record in records:
        assert record["rollout/success_rate"] == 0.5
        assert record["groups/mixed"] == 1.0
        assert record["context/share"] == 1.0
        assert record["context/blocks"] == pytest.approx(2.5)
        assert record["train/skipped_steps"] == 0
        assert record["train/lr"] == 1e-3
        assert record["train/loss"] > 0
        assert record["time/step_s"] > 0
    assert [record.step for record in script.records] == [1, 2, 3, 4]
    written = [{"step": record.step, **record.metrics} for record in script.records]
    assert written == records
    assert run.folder.rollout_steps() == [2, 4]
    assert run.folder.read_config()["divergence"]["name"] == "scripted"


def test_the_summary_adds_up(train_scripted, script):
    run = train_scripted()
    summary = run.folder.read_summary()
    assert summary == run.summary
    assert summary["finished"] is True
    assert summary["before"] == summary["after"] == {"mean@4": 0.5, "pass@4": 1.0}
    assert (summary["steps"], summary["rollouts"], summary["skipped_steps"]) == (4, 32, 0)
    rows = [row for step in run.folder.rollout_steps() for row in run.folder.read_rollouts(step)]
    sampled = sum(rollout["n_tokens"] for row in rows for rollout in row["rollouts"])
    assert summary["tokens"] == sampled
    assert summary["held_out_prompts"] == 2


def test_the_generator_gets_the_weights_after_every_step(train_scripted, script):
    train_scripted()
    assert script.synced == [1, 2, 3, 4]
    assert script.closed == ["generator"]


def test_held_out_prompts_are_never_trained_on(train_scripted, script):
    train_scripted("evaluation.every=2", "evaluation.prompts=1")
    held_out = ["held-out-0", "held-out-1"]
    evaluations = [asked for asked in script.generated if asked[0] in held_out]
    assert evaluations == [held_out, ["held-out-0"], held_out]
    steps = [asked for asked in script.generated if asked[0] not in held_out]
    assert len(steps) == 4
    assert all(len(asked) == 2 and not set(asked) & set(held_out) for asked in steps)
    assert sorted(steps[0] + steps[1]) == [f"train-{number}" for number in range(4)]


def test_groups_without_a_success_train_on_nothing_and_say_so(train_scripted, script):
    script.answer = lambda prompt_id, index, version: "wrong 2"
    run = train_scripted("training.steps=2")
    assert "step 1: no rollout succeeded; the step trains on nothing" in run.said
    records = run.folder.read_metrics()
    assert [record["train/tokens"] for record in records] == [0, 0]
    assert [record["train/skipped_steps"] for record in records] == [1, 2]
    assert all(record["groups/all_failure"] == 1.0 and "train/loss" not in record for record in records)
    assert run.summary["skipped_steps"] == 2
    assert script.synced == []


@pytest.mark.parametrize("verdict", ["right", "wrong"])
def test_grpo_on_equal_rewards_trains_on_nothing_and_says_so(train_scripted, script, verdict):
    script.answer = lambda prompt_id, index, version: f"{verdict} {index}"
    run = train_scripted("training.steps=1", objective="grpo")
    reason = "nothing to learn" if verdict == "right" else "no rollout succeeded"
    assert f"step 1: {reason}; the step trains on nothing" in run.said
    assert script.synced == []


def test_one_success_has_no_peer_that_succeeded(train_scripted, script):
    """It alone is masked: the other three are shown it."""
    script.answer = lambda prompt_id, index, version: "right 1" if index == 0 else "wrong 2"
    run = train_scripted("training.steps=1")
    (record,) = run.folder.read_metrics()
    assert record["context/share"] == 0.75
    for row in run.folder.read_rollouts(1):
        shown = [rollout["peers"] for rollout in row["rollouts"]]
        assert shown[0] == []
        assert all((0, "success") in [(peer["index"], peer["role"]) for peer in peers] for peers in shown[1:])


@pytest.mark.parametrize(
    ("answer", "absent", "zero"),
    [
        ("unknown", {"rollout/success_rate", "rollout/reward"}, "context/share"),
        ("wrong 2", {"context/tokens", "context/blocks", "context/trimmed_tokens"}, "rollout/success_rate"),
    ],
)
def test_what_no_rollout_defines_is_left_out_and_not_zero(train_scripted, script, answer, absent, zero):
    script.answer = lambda prompt_id, index, version: answer
    (record,) = train_scripted("training.steps=1").folder.read_metrics()
    assert not absent & set(record)
    assert record[zero] == 0


def test_unknown_verdicts_are_counted_and_never_shown(train_scripted, script):
    answers = ("right 1", "unknown", "wrong 2", "right 3")
    script.answer = lambda prompt_id, index, version: answers[index]
    run = train_scripted("training.steps=2")
    for record in run.folder.read_metrics():
        assert record["rollout/unknown"] == 2
        assert record["rollout/success_rate"] == pytest.approx(4 / 6)
    for step in (1, 2):
        for row in run.folder.read_rollouts(step):
            assert [rollout["status"] for rollout in row["rollouts"]] == [
                "passed",
                "unknown",
                "failed",
                "passed",
            ]
            assert all(peer["index"] != 1 for rollout in row["rollouts"] for peer in rollout["peers"])
    assert run.summary["after"]["mean@4"] == pytest.approx(2 / 3)


def test_a_non_finite_step_is_skipped_and_counted(train_scripted, script):
    script.bad_steps = (2, 3)
    run = train_scripted()
    assert [record["train/skipped_steps"] for record in run.folder.read_metrics()] == [0, 1, 2, 2]
    assert "step 2: loss or gradient is not finite; the step is skipped" in run.said
    assert script.synced == [1, 4]
    assert run.summary["finished"] is True
    text = run.folder.metrics_path.read_text()
    assert "NaN" not in text


def test_three_non_finite_steps_in_a_row_stop_the_run_with_its_state_saved(train_scripted, script, tmp_path):
    script.bad_steps = (2, 3, 4)
    with pytest.raises(TrainingError, match="not finite in 3 steps in a row; the state after step 4 is saved"):
        train_scripted("training.steps=9", "training.save_every=100")
    last = tmp_path / "run/checkpoints/last"
    state = json.loads((last / "trainer/state.json").read_text())
    assert (state["step"], state["skipped_steps"], state["non_finite_in_a_row"]) == (4, 3, 3)
    script.bad_steps = ()
    resumed = train_scripted("training.steps=9", "training.save_every=100", resume=True)
    assert resumed.summary["finished"] is True
    assert [record["step"] for record in resumed.folder.read_metrics()] == list(range(1, 10))


CURVE = {0: 2, 1: 2, 2: 3, 3: 4, 4: 3, 5: 1, 6: 1}
"""How many of 4 held-out samples are right, by the weights' version."""


def follow_the_curve(script):
    def answer(prompt_id, index, version):
        right = CURVE[version] if prompt_id.startswith("held-out") else 2
        return "right 1" if index < right else "wrong 2"

    script.answer = answer


def test_the_best_checkpoint_stays_beside_the_last(train_scripted, script):
    follow_the_curve(script)
    run = train_scripted("training.steps=6", "evaluation.every=1", "training.save_every=2", "evaluation.guard=off")
    found = [record["evaluation/mean@4"] for record in run.folder.read_metrics()]
    assert found == [CURVE[step] / 4 for step in range(1, 7)]
    assert checkpoint_names(run.folder) == ["step-000003", "step-000006"]
    assert (linked(run.folder, "best"), linked(run.folder, "last")) == ("step-000003", "step-000006")
    assert run.summary["best"] == {"step": 3, "mean@4": 1.0}
    assert run.summary["before"]["mean@4"] == 0.5
    assert run.summary["after"]["mean@4"] == 0.25
    assert "collapsing" not in run.said


def test_the_guard_warns(train_scripted, script):
    follow_the_curve(script)
    run = train_scripted("training.steps=6", "evaluation.every=1", "evaluation.guard_drop=0.3")
    warnings = [line for line in run.said.splitlines() if "collapsing" in line]
    assert len(warnings) == 2
    assert warnings[0].startswith("step 5: held-out mean@4 is 0.250, 0.750 below its best of 1.000 at step 3")
    assert run.summary["finished"] is True


def test_the_guard_stops_if_asked(train_scripted, script):
    follow_the_curve(script)
    run = train_scripted("training.steps=6", "evaluation.every=1", "evaluation.guard=stop", "evaluation.guard_drop=0.3")
    assert (run.summary["finished"], run.summary["stopped_by"], run.summary["steps"]) == (False, "guard", 5)
    assert (linked(run.folder, "best"), linked(run.folder, "last")) == ("step-000003", "step-000005")
    assert len(run.folder.read_metrics()) == 5


def test_checkpoints_come_at_their_steps_and_after_the_last(train_scripted, script, tmp_path):
    """`on_step` sees what was saved before: nothing at steps 1 and 2, the checkpoint of step 2 at step 3."""
    seen = []
    script.on_step = lambda step: seen.append([path.name for path in tmp_path.glob("run/checkpoints/step-*")])
    run = train_scripted("training.steps=3", "training.save_every=2")
    assert seen == [[], [], ["step-000002"]]
    assert checkpoint_names(run.folder) == ["step-000003"]


def test_best_and_guard_compare_the_prompts_that_every_evaluation_has(train_scripted, script):
    """One of two held-out prompts is always solved and the other never: for who watches the first, nothing changes."""
    script.answer = lambda prompt_id, index, version: "wrong 2" if prompt_id == "held-out-1" else "right 1"
    run = train_scripted("evaluation.prompts=1", "evaluation.every=1", "evaluation.guard=stop")
    assert run.summary["finished"] is True
    assert run.summary["before"]["mean@4"] == run.summary["after"]["mean@4"] == 0.5
    assert run.summary["best"] == {"step": 0, "mean@4": 1.0}
    assert [record["evaluation/mean@4"] for record in run.folder.read_metrics()] == [1.0] * 4


@pytest.mark.parametrize("place", ["generator", "teacher"])
def test_no_memory_left_gives_advice(train_scripted, script, monkeypatch, place):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    if place == "generator":
        script.answer = full
    else:
        monkeypatch.setattr(EmaTeacher, "read", full)
    with pytest.raises(TrainingError, match=r"the device has no memory left.*micro_batch_tokens"):
        train_scripted()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_finishes_the_step_and_saves(train_scripted, script, number):
    script.on_step = lambda step: os.kill(os.getpid(), number) if step == 2 else None
    before = signal.getsignal(number)
    run = train_scripted("training.steps=9", "training.save_every=100")
    assert (run.summary["finished"], run.summary["stopped_by"], run.summary["steps"]) == (False, "interrupt", 2)
    assert run.summary["after"] is None
    assert linked(run.folder, "last") == "step-000002"
    assert "asked to stop: finishing this step and saving" in run.said
    assert signal.getsignal(number) is before
    assert script.closed == ["generator"]


def test_asked_twice_it_stops_at_once(train_scripted, script):
    def twice(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    script.on_step = twice
    with pytest.raises(KeyboardInterrupt):
        train_scripted()
    assert script.closed == ["generator"]


@pytest.mark.parametrize("held_out", [0, 2])
def test_a_generator_that_returns_too_few_is_named(train_scripted, script, held_out):
    script.held_out, script.missing = held_out, 1
    with pytest.raises(
        GeneratorError, match=r"'scripted' returned groups of \[3, 3\] rollouts; asked for were \[4, 4\]"
    ):
        train_scripted()


def test_a_stream_in_any_order_gives_the_same_run(train_scripted, script, outcome_of):
    train_scripted("training.steps=2", folder="whole")
    script.stream = lambda rollouts: reversed(rollouts)
    train_scripted("training.steps=2", folder="streamed")
    assert outcome_of("streamed") == outcome_of("whole")


@pytest.mark.parametrize("held_out", [0, 2])
@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (
            lambda given: given[:-1],
            "streamed 7 of 8 rollouts; the first that is missing is rollout 3 of prompt number 1",
        ),
        (lambda given: [], "streamed 0 of 8 rollouts; the first that is missing is rollout 0 of prompt number 0"),
        (lambda given: [*given, *given[:1]], "streamed rollout 0 of prompt number 0, which was not asked for or had"),
        (lambda given: [(p, g + 1, r) for p, g, r in given], "streamed rollout 4 of prompt number 0, which was not"),
        (lambda given: [(p - 1, g, r) for p, g, r in given], "streamed rollout 0 of prompt number -1, which was not"),
    ],
    ids=["one missing", "none", "one twice", "index", "prompt"],
)
def test_a_stream_that_is_not_what_was_asked_for_is_named(train_scripted, script, held_out, stream, message):
    script.held_out, script.stream = held_out, stream
    with pytest.raises(GeneratorError, match=f"^generator 'scripted' {message}"):
        train_scripted()


def test_what_a_stream_raises_names_the_generator(train_scripted, script):
    script.stream = lambda given: (1 // 0 for _ in given)
    with pytest.raises(PluginError, match="generator 'scripted' failed: ZeroDivisionError"):
        train_scripted()


def test_verdicts_are_made_while_rollouts_are_still_sampled(train_scripted, script):
    """Each rollout waits in the generator until the one before has been judged; at the end none is left to judge."""
    script.held_out, judged, judge = 0, threading.Semaphore(0), script.judge

    def watched(text):
        judged.release()
        return judge(text)

    def one_by_one(rollouts):
        for rollout in rollouts:
            yield rollout
            assert judged.acquire(timeout=20)

    script.judge, script.stream = watched, one_by_one
    run = train_scripted("training.steps=1")
    (record,) = run.folder.read_metrics()
    assert record["time/verify_s"] < record["time/generate_s"]
    assert 0 < record["time/verify_busy_s"] <= record["time/generate_s"] + record["time/verify_s"]


def test_a_verifier_that_hangs_costs_its_rollouts_and_not_the_run(train_scripted, script):
    let_go, judge = threading.Event(), script.judge
    script.answer = lambda prompt_id, index, version: "hang" if (prompt_id, index) == ("train-0", 2) else "right"
    script.judge = lambda text: (let_go.wait(60) if text.startswith("hang") else None) or judge(text)
    run = train_scripted("training.steps=2", "rollout.verify_timeout_s=0.2")
    let_go.set()
    assert run.summary["finished"] is True
    rows = [row for step in (1, 2) for row in run.folder.read_rollouts(step)]
    unknown = [(row["prompt_id"], r["feedback"]) for row in rows for r in row["rollouts"] if r["status"] == "unknown"]
    assert unknown == [("train-0", "Not judged: the verifier gave no verdict within 0.2 s.")]
    assert "'train-0': the verifier gave no verdict within 0.2 s; its verdict is unknown" in run.said


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("held_out", [0, 2])
def test_what_a_verifier_raises_ends_the_run(train_scripted, script, streams, held_out):
    def bad(text):
        raise DataError("prompt 'train-0': bad reference")

    script.judge, script.held_out = bad, held_out
    script.stream = iter if streams else None
    with pytest.raises(DataError, match="bad reference"):
        train_scripted()


def test_asked_twice_while_a_verifier_hangs_it_stops_at_once(train_scripted, script):
    """One of the verifier's threads asks, and asks again when the first has been heard: signals are not counted."""
    let_go, script.held_out, asks = threading.Event(), 0, threading.Lock()

    def hang(text):
        if asks.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
        let_go.wait(60)
        return Verdict(1.0, "passed")

    script.judge = hang
    with pytest.raises(KeyboardInterrupt):
        train_scripted()
    let_go.set()
    assert script.closed == ["generator"]


def test_caveats_are_kept_counted_and_named_once(train_scripted, script):
    script.caveats = ("sandbox without landlock",)
    run = train_scripted("training.steps=2")
    assert [record["rollout/caveats"] for record in run.folder.read_metrics()] == [0.5, 0.5]
    assert run.said.count("verdicts rest on a caveat: sandbox without landlock") == 1
    (row, _) = run.folder.read_rollouts(1)
    assert [rollout["caveats"] for rollout in row["rollouts"]] == [[], ["sandbox without landlock"]] * 2


@pytest.mark.parametrize("held_out", [0, 2])
def test_what_a_plugin_raises_names_it(train_scripted, script, held_out):
    def broken(prompt_id, index, version):
        raise ZeroDivisionError("oh")

    script.answer, script.held_out = broken, held_out
    with pytest.raises(PluginError, match="generator 'scripted' failed: ZeroDivisionError: oh"):
        train_scripted()


def test_a_data_set_without_rows_is_refused_and_leaves_no_folder(train_scripted, script, tmp_path):
    script.train = 0
    with pytest.raises(DataError, match="'scripted' has no rows to train on"):
        train_scripted()
    assert not (tmp_path / "run").exists()


def test_responses_longer_than_the_model_takes_are_refused(train_scripted):
    with pytest.raises(ConfigError, match=r"together more than the model's \d+\. Lower rollout\.sampling\.max_tokens"):
        train_scripted("rollout.sampling.max_tokens=100000")


def test_prompts_over_the_limit_stop_the_run_or_are_left_out(train_scripted, script):
    with pytest.raises(ConfigError, match=r"\d+ of \d+ prompts are longer than rollout\.max_prompt_tokens = 3"):
        train_scripted("rollout.max_prompt_tokens=3")


def test_a_folder_with_a_run_is_not_written_over(train_scripted):
    train_scripted("training.steps=1")
    with pytest.raises(ConfigError, match="already holds a run"):
        train_scripted("training.steps=1")


def test_without_held_out_prompts_nothing_is_measured(train_scripted, script):
    script.held_out = 0
    run = train_scripted("evaluation.every=1")
    assert run.summary["held_out_prompts"] == 0
    assert run.summary["finished"] is True


AHEAD = ("rollout.max_staleness=1", "objective.importance_clip=2")


def running_ahead():
    return [thread for thread in threading.enumerate() if thread.name == "rollouts ahead"]


def test_one_step_ahead_every_rollout_says_which_weights_it_is_of(train_scripted, script):
    run = train_scripted(*AHEAD, "training.steps=5")
    versions = [
        {rollout["version"] for row in run.folder.read_rollouts(step) for rollout in row["rollouts"]}
        for step in range(1, 6)
    ]
    assert versions == [{0}, {0}, {1}, {2}, {3}]
    assert script.synced == [1, 2, 3, 4, 5]
    assert len(script.generated) == 2 + 5
    records = run.folder.read_metrics()
    assert [record["staleness/max"] for record in records] == [0, 1, 1, 1, 1]
    assert all(record["time/generate_busy_s"] > 0 for record in records)
    assert not running_ahead()


def test_sampling_in_place_has_no_staleness(train_scripted):
    run = train_scripted("training.steps=1")
    (record,) = run.folder.read_metrics()
    assert not [name for name in record if name.startswith("staleness/") or name == "time/generate_busy_s"]


def test_a_version_is_stale_by_the_updates_that_it_lacks(train_scripted, script):
    """Steps 2 and 3 change no weights; step 4 trains on what version 1 sampled, and misses nothing."""
    script.bad_steps = (2, 3)
    run = train_scripted(*AHEAD, "training.steps=6")
    assert script.synced == [1, 4, 5, 6]
    assert [record["staleness/max"] for record in run.folder.read_metrics()] == [0, 1, 0, 0, 1, 1]


def test_steps_that_train_on_nothing_do_not_hold_up_what_is_ahead(train_scripted, script):
    script.answer = lambda prompt_id, index, version: "wrong 2"
    run = train_scripted(*AHEAD)
    assert (run.summary["finished"], run.summary["skipped_steps"], script.synced) == (True, 4, [])


@pytest.mark.parametrize("staleness", [1, 3])
def test_evaluations_see_the_newest_weights(train_scripted, script, staleness):
    follow_the_curve(script)
    run = train_scripted(*AHEAD, f"rollout.max_staleness={staleness}", "training.steps=6", "evaluation.every=1")
    assert [record["evaluation/mean@4"] for record in run.folder.read_metrics()] == [CURVE[s] / 4 for s in range(1, 7)]


@pytest.mark.parametrize("times", [1, 2])
def test_asked_to_stop_nothing_goes_on_ahead(train_scripted, script, times):
    def ask(step):
        for _ in range(times if step == 2 else 0):
            os.kill(os.getpid(), signal.SIGINT)

    script.on_step = ask
    if times == 1:
        assert train_scripted(*AHEAD, "training.steps=9").summary["steps"] == 2
    else:
        with pytest.raises(KeyboardInterrupt):
            train_scripted(*AHEAD, "training.steps=9")
    assert not running_ahead()
    assert script.closed == ["generator"]


def test_what_fails_ahead_ends_the_run_as_it_does_in_place(train_scripted, script):
    script.held_out, script.missing = 0, 1
    with pytest.raises(GeneratorError, match=r"^generator 'scripted' returned groups of \[3, 3\] rollouts"):
        train_scripted(*AHEAD)
    assert not running_ahead()


@pytest.mark.parametrize(
    ("objective", "options", "weighs"),
    [
        ("distill", [], False),
        ("distill", ["objective.importance_clip=2"], True),
        ("grpo", [], True),
        ("weighted-sum", [], False),
        ("weighted-sum", ["objective.distill.importance_clip=2"], True),
    ],
    ids=["distill", "distill weighs", "grpo", "weighted sum", "weighted sum weighs"],
)
def test_only_an_objective_that_weighs_importance_takes_old_rollouts(
    train_scripted, script, objective, options, weighs
):
    given = ("rollout.max_staleness=2", "training.steps=2", *options)
    if weighs:
        assert train_scripted(*given, objective=objective).summary["finished"] is True
        return
    with pytest.raises(ConfigError, match=f"max_staleness is 2, but objective '{objective}' does not weigh") as error:
        train_scripted(*given, objective=objective)
    assert "-o objective.importance_clip=2" in str(error.value)
    assert script.generated == []
