"""`mopd analyze` on a run of the bundled default: files, numbers, teachers, and what is kept when it is stopped."""

from __future__ import annotations

import csv
import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict_saver import save

from cli import main
from mopd_core.analysis.analyze import LENGTH, analyze
from mopd_core.analysis.contexts import named_contexts
from mopd_core.analysis.saved_groups import choose_steps, read_step
from mopd_core.config.load import load_config
from mopd_core.errors import CheckpointError, ConfigError
from mopd_core.peers.teacher_prompt import TeacherPrompts
from mopd_core.tracking.run_folder import RunFolder
from mopd_core.training import models
from mopd_core.training.rollouts import choose_contexts
from mopd_core.training.saved_teacher import load_teacher
from mopd_core.training.scoring import Scorer

CONTEXTS = ("1S", "2S1F")
FILES = ("analysis.md", "analysis.json", "signal.csv", "signal.svg", "difficulty.svg", "diversity.csv", "diversity.svg")


@pytest.fixture
def config(registries, trained):
    return load_config(None, registries, stored=RunFolder.open(trained).read_config())


@pytest.fixture(scope="module")
def tokenizer():
    return models.load_tokenizer(models.ModelConfig())


@pytest.fixture
def teacher_of(registries, config, tokenizer):
    def load(which, folder, of=None):
        with ExitStack() as stack:
            return load_teacher(str(which), of or config, registries, RunFolder.open(folder), tokenizer, stack)

    return load


def weights(saved):
    teacher = saved.scorer.teacher
    return dict(teacher.model.named_parameters())


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_command_writes_tables_and_figures(run, monkeypatch, capsys):
    arguments = [part for name in CONTEXTS for part in ("--context", name)]
    monkeypatch.setattr("sys.argv", ["mopd", "analyze", str(run), *arguments, "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    found = json.loads(capsys.readouterr().out)
    folder = run / "analysis"
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == sorted(FILES)
    assert found == json.loads((folder / "analysis.json").read_text())
    assert (found["steps"], found["rollouts"], found["teacher"]) == ([1, 2], 24, "teacher of step-000002")
    names = list(dict.fromkeys(row["context"] for row in found["signal"]))
    assert names == ["none", *CONTEXTS, "random-peer", LENGTH]
    lengths = {row["context"]: row["context_tokens"] for row in found["signal"] if row["bucket"] == "all"}
    assert lengths["none"] == 0 < lengths["1S"] < lengths["2S1F"]
    table = list(csv.DictReader((folder / "signal.csv").open()))
    assert {row["minus"] for row in table} == {"", "none", "random-peer"}
    for name in FILES:
        if name.endswith(".svg"):
            text = (folder / name).read_text()
            assert ElementTree.fromstring(text).tag.endswith("svg")
            assert "<text" in text


def test_the_same_analysis_gives_the_same_files(run, registries, monkeypatch):
    (run / "starts.jsonl").unlink()  # Older runs have none.
    analyze([run], registries, contexts=CONTEXTS)
    first = {name: (run / "analysis" / name).read_bytes() for name in FILES}
    monkeypatch.setattr(Scorer, "mean_logprobs", lambda *_: pytest.fail("it was scored again"))
    analyze([run], registries, contexts=CONTEXTS)
    assert {name: (run / "analysis" / name).read_bytes() for name in FILES} == first


def test_one_that_was_stopped_goes_on_where_it_was(run, registries, monkeypatch):
    score, scored = Scorer.mean_logprobs, []

    def interrupted(self, groups, prompts):
        if len(scored) == 3:
            raise KeyboardInterrupt
        scored.append(1)
        return score(self, groups, prompts)

    monkeypatch.setattr(Scorer, "mean_logprobs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyze([run], registries, contexts=["1S"])
    scored[:] = []
    monkeypatch.setattr(Scorer, "mean_logprobs", lambda *given: scored.append(1) or score(*given))
    found = analyze([run], registries, contexts=["1S"])
    assert len(scored) == 3  # Of three contexts on two steps, three were left.
    shutil.rmtree(run / "analysis")
    assert analyze([run], registries, contexts=["1S"]).numbers == found.numbers


def test_several_runs_are_one_analysis_with_the_comparisons_asked_for(run, trained, registries, tmp_path):
    alone = analyze([run], registries, contexts=CONTEXTS).numbers
    out = tmp_path / "both"
    found = analyze([run, trained], registries, contexts=CONTEXTS, minus=["1S"], out=out).numbers
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert (found["groups"], found["prompts"]) == (2 * alone["groups"], alone["prompts"])
    for one, both in zip(alone["signal"], found["signal"], strict=True):  # The same rollouts twice.
        assert (both["context"], both["bucket"], both["groups"]) == (one["context"], one["bucket"], 2 * one["groups"])
        assert both["statistics"] == one["statistics"]
        assert set(both["minus"]) == {"none", "random-peer", "1S"} - {one["context"]}
    assert found["diversity"] == alone["diversity"]  # A row a step, of both runs, and the same texts twice.


def test_prompts_of_one_id_and_other_text_are_two(run, trained, registries, tmp_path):
    alone = analyze([run], registries, contexts=["1S"]).numbers
    folder = RunFolder(run)
    for step in folder.rollout_steps():
        rows = folder.read_rollouts(step)
        for row in rows:
            row["messages"][0]["content"] += " Think."
        folder.write_rollouts(step, rows)
    found = analyze([trained, run], registries, contexts=["1S"], out=tmp_path / "both").numbers
    assert found["prompts"] == 2 * alone["prompts"]
    prompts = {row["step"]: row["measures"]["pass@1"]["prompts"] for row in alone["diversity"]}
    assert {row["step"]: row["measures"]["pass@1"]["prompts"] // 2 for row in found["diversity"]} == prompts


def test_what_cannot_be_analysed_together_is_said_before_anything_is_scored(run, registries, monkeypatch):
    monkeypatch.setattr(Scorer, "mean_logprobs", lambda *_: pytest.fail("it was scored"))
    with pytest.raises(ConfigError, match="name a folder for it with --out"):
        analyze([run, run], registries)
    with pytest.raises(ConfigError, match="--minus 2F: it is not among the contexts, which are 1S, 2S1F"):
        analyze([run], registries, contexts=CONTEXTS, minus=["2F"])


@pytest.mark.parametrize("damage", [lambda text: text[:-20], lambda _: "[1]", lambda text: text.replace("scores", "s")])
def test_kept_scores_that_are_damaged_are_made_again(run, registries, damage):
    found = analyze([run], registries, contexts=["1S"])
    (file,) = (run / "analysis" / "scores").glob("none-*/step-000002.json")
    kept = file.read_text()
    file.write_text(damage(kept))
    assert analyze([run], registries, contexts=["1S"]).numbers == found.numbers
    assert file.read_text() == kept


def test_the_teacher_of_a_checkpoint_is_its_average(trained, teacher_of):
    checkpoint = trained / "checkpoints" / "last"
    last, student = teacher_of("last", trained), teacher_of("student", trained)
    assert same(load_file(checkpoint / "trainer" / "teacher.safetensors"), weights(last))
    assert not same(weights(last), weights(student))
    assert not same(weights(student), weights(teacher_of("initial", trained)))
    assert same(weights(last), weights(teacher_of(checkpoint, trained)))
    assert len({each.identity for each in (last, student, teacher_of("initial", trained))}) == 3


def test_a_model_folder_is_the_model_in_it(trained, teacher_of, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(trained / "checkpoints" / "last", model, ignore=shutil.ignore_patterns("trainer", "manifest.json"))
    assert same(weights(teacher_of(model, trained)), weights(teacher_of("student", trained)))


def test_a_teacher_whose_state_is_split_over_ranks_is_put_together(trained, teacher_of, tmp_path):
    checkpoint = tmp_path / "step-000002"
    shutil.copytree(trained / "checkpoints" / "step-000002", checkpoint)
    state = load_file(checkpoint / "trainer" / "teacher.safetensors")
    (checkpoint / "trainer" / "teacher.safetensors").unlink()
    with pytest.warns(UserWarning, match="torch.distributed"):
        save({"teacher": state, "student": {"x": torch.ones(2)}}, checkpoint_id=checkpoint / "trainer" / "shards")
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    del manifest["sha256"]["trainer/teacher.safetensors"]
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    assert same(state, weights(teacher_of(checkpoint, trained)))


def test_a_run_without_a_teacher_has_its_student_for_one(trained, teacher_of, tmp_path):
    checkpoint = tmp_path / "step-000002"
    shutil.copytree(trained / "checkpoints" / "step-000002", checkpoint)
    (checkpoint / "trainer" / "teacher.safetensors").unlink()
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    del manifest["sha256"]["trainer/teacher.safetensors"]
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    found = teacher_of(checkpoint, trained)
    assert same(weights(found), weights(teacher_of("student", trained)))
    assert found.label == "student of step-000002"


def test_the_checkpoint_of_another_run_has_that_runs_teacher(run, registries, config, teacher_of, tmp_path):
    """Its config says what its teacher is: here one that never moves, so that the initial model is the teacher."""
    folder = RunFolder.open(run)
    folder.write_config(
        load_config(None, registries, stored=folder.read_config(), choices={"teacher": "frozen"}).model_dump(
            mode="json"
        )
    )
    elsewhere = tmp_path / "mine"
    shutil.copytree(run, elsewhere, symlinks=True)
    RunFolder(elsewhere).write_config(config.model_dump(mode="json"))
    found = teacher_of(run / "checkpoints" / "last", elsewhere)
    assert same(weights(found), weights(teacher_of("initial", elsewhere)))


def test_groups_come_back_as_they_were(trained, tokenizer):
    folder = RunFolder.open(trained)
    saved = read_step(folder, 2, tokenizer, {})
    rows = folder.read_rollouts(2)
    assert [group.prompt.id for group in saved.groups] == [row["prompt_id"] for row in rows]
    for group, row in zip(saved.groups, rows, strict=True):
        assert [group.is_success(i) for i in range(len(group))] == [each["success"] for each in row["rollouts"]]
        for rollout, each in zip(group.rollouts, row["rollouts"], strict=True):
            assert rollout.token_ids.tolist() == each["token_ids"]
            assert tokenizer.decode(rollout.token_ids, skip_special_tokens=True) == rollout.text


def test_tokens_that_are_not_the_models_own_come_back_as_such(run, tokenizer):
    folder = RunFolder.open(run)
    rows = folder.read_rollouts(2)
    own = [index % 2 == 0 for index in range(rows[0]["rollouts"][0]["n_tokens"])]
    rows[0]["rollouts"][0]["own"] = own
    folder.write_rollouts(2, rows)
    first, second, *_ = read_step(folder, 2, tokenizer, {}).groups[0].rollouts
    assert first.own.tolist() == own
    assert second.own.all()


def test_scores_without_a_context_are_the_students_at_the_weights_that_sampled(trained, teacher_of, tokenizer):
    """Step 1 was sampled by the initial model, whose log-probabilities the run has kept, rounded to four digits."""
    folder = RunFolder.open(trained)
    saved = read_step(folder, 1, tokenizer, {})
    scorer = teacher_of("initial", trained).scorer
    found = scorer.mean_logprobs(saved.groups, [[group.prompt.token_ids] * len(group) for group in saved.groups])
    kept = [[each["token_values"].get("logprobs") for each in row["rollouts"]] for row in folder.read_rollouts(1)]
    compared = 0
    for scores, values in zip(found, kept, strict=True):
        for score, value in zip(scores, values, strict=True):
            if value and value[0] is not None:
                assert score == pytest.approx(np.mean(value), abs=1e-3)
                compared += 1
    assert compared > 6


def test_the_context_that_trained_gives_the_scores_that_training_saw(
    trained, registries, config, teacher_of, tokenizer
):
    """In step 1 the average is still the initial model, and the run has kept its log-probabilities under 2S1F."""
    folder = RunFolder.open(trained)
    saved = read_step(folder, 1, tokenizer, {})
    (_, context, _) = named_contexts(["2S1F"], registries, config.seed)
    loaded = teacher_of("initial", trained)
    builder = TeacherPrompts(config.context, tokenizer, loaded.max_length - config.rollout.sampling.max_tokens)
    chosen = choose_contexts(saved.groups, context.selector, builder, seed=config.seed, step=1)
    ids = [[prompt and prompt.token_ids for prompt in row] for row in chosen.prompts]
    found = loaded.scorer.mean_logprobs(saved.groups, ids)
    compared = 0
    for row, selections, scores in zip(folder.read_rollouts(1), chosen.selections, found, strict=True):
        for each, selection, score in zip(row["rollouts"], selections, scores, strict=True):
            assert [(peer["group"], peer["index"]) for peer in each["peers"]] == [
                (p.group, p.index) for p in selection.peers
            ]
            values = each["token_values"].get("teacher_logprobs") or [None]
            assert np.isnan(score) == (values[0] is None)
            if values[0] is not None:
                assert score == pytest.approx(np.mean(values), abs=1e-3)
                compared += 1
    assert compared > 2


@pytest.mark.parametrize(
    ("wanted", "steps"), [(None, [1, 2]), ("1", [1]), ("2-9", [2]), ("1,2", [1, 2]), (" 2 - 2 ,1", [1, 2])]
)
def test_steps_are_chosen(trained, wanted, steps):
    assert choose_steps(RunFolder.open(trained), wanted, 8) == steps


def test_by_default_the_last_steps_are_read(trained):
    assert choose_steps(RunFolder.open(trained), None, 64) == [2]
    assert choose_steps(RunFolder.open(trained), None, 1000) == [2]


@pytest.mark.parametrize("wanted", ["7", "one", "", "1-", "-1"])
def test_steps_that_are_not_there_are_refused(trained, wanted):
    with pytest.raises(ConfigError, match="--steps"):
        choose_steps(RunFolder.open(trained), wanted, 8)


def test_a_run_without_rollouts_is_refused(run, registries):
    shutil.rmtree(run / "rollouts")
    with pytest.raises(CheckpointError, match=r"holds no rollouts; a run keeps them with tracking\.rollouts_every"):
        analyze([run], registries)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: 'nowhere' holds no run"),
        (["{run}", "--context", "4G"], "error: no context is called '4G'"),
        (["{run}", "--steps", "9"], "error: --steps 9: "),
        (["{run}", "--teacher", "./nowhere"], "error: there is no model folder './nowhere'"),
        (
            ["{run}", "--teacher", "bundled-programs"],
            "error: the tokenizer of 'bundled-programs' is not that of the run",
        ),
        (["{run}", "-o", "training.device=tpu"], "error: training.device is 'tpu'"),
    ],
)
def test_bad_input_is_one_line(trained, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr("sys.argv", ["mopd", "analyze", *(each.format(run=trained) for each in arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(message)


def test_a_damaged_checkpoint_is_refused(run, teacher_of):
    (run / "checkpoints" / "step-000002" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no complete checkpoint for the teacher 'last'"):
        teacher_of("last", run)


def test_rows_of_another_form_are_refused(run, tokenizer):
    folder = RunFolder.open(run)
    folder.write_rollouts(2, [{"prompt_id": "a"}])
    with pytest.raises(CheckpointError, match="holds rows of another form: KeyError"):
        read_step(folder, 2, tokenizer, {})


def test_importing_the_command_line_imports_none_of_it(tmp_path: Path):
    import subprocess
    import sys

    code = (
        "import sys, mopd_core.analysis.compare as _; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
