"""`mopd run` does what its help says: it trains, prints the table, and leaves a folder that others can read."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import zstandard
from transformers import AutoModelForCausalLM, AutoTokenizer

ROLLOUT = {"success_rate", "reward", "unknown", "length_mean", "length_max", "truncated"}
GROUPS = {"mixed", "all_success", "all_failure"}
CONTEXT = {"share", "tokens", "blocks", "trimmed_tokens"}
TRAIN = {"loss", "grad_norm", "lr", "tokens", "skipped_steps"}
TIME = {f"{phase}_s" for phase in ("generate", "verify", "context", "learn", "sync", "record", "step")}
SECTIONS = {"rollout": ROLLOUT, "groups": GROUPS, "context": CONTEXT, "train": TRAIN, "time": {*TIME, "tokens_per_s"}}


@dataclass(frozen=True)
class Finished:
    """The run that the issue names, and where it went."""

    done: Any
    folder: Path

    def read(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(program: Path, command: Any, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("run")
    plugins = ("--generator", "hf", "--verifier", "math", "--selector", "contrastive", "--divergence", "jsd")
    done = command([program], folder).run(*plugins, "--out", "here", evaluation__samples=None)
    return Finished(done, folder / "here")


def test_the_run_ends_well_and_prints_before_and_after(finished: Finished):
    assert finished.done.code == 0, finished.done.err
    rows = [line.split() for line in finished.done.out.splitlines()]
    for name in ("mean@8", "pass@8"):
        (row,) = [row for row in rows if row[:1] == [name]]
        before, after = (100 * finished.read("summary.json")[when][name] for when in ("before", "after"))
        assert row[1:] == [f"{before:.1f}%", f"{after:.1f}%", f"{after - before:+.1f}"]


def test_it_is_quiet_where_there_is_no_terminal(finished: Finished):
    assert "\x1b" not in finished.done.out + finished.done.err
    assert "\r" not in finished.done.err
    lines = finished.done.err.splitlines()
    assert lines[0].startswith("2 steps of 2 prompts x 4 rollouts; 20 prompts to train on, 4 held out; ")
    assert [line.split(":")[0] for line in lines[1:]] == ["step 1/2", "step 2/2"]


def test_the_folder_holds_what_the_design_says_and_no_leftovers(finished: Finished):
    named = {path.name for path in finished.folder.iterdir() if path.name != ".lock"}
    files = {"config.json", "starts.jsonl", "metrics.jsonl", "summary.json", "log.txt"}
    assert named == files | {"rollouts", "evaluations", "checkpoints"}
    assert not list(finished.folder.rglob("*.partial"))


def test_the_config_is_stored_whole(finished: Finished):
    config = finished.read("config.json")
    assert config["seed"] == 0
    assert config["training"]["steps"] == 2
    chosen = [config[section]["name"] for section in ("generator", "verifier", "selector", "divergence")]
    assert chosen == ["hf", "math", "contrastive", "jsd"]


def test_the_summary_holds_the_scores_and_what_the_run_took(finished: Finished):
    summary = finished.read("summary.json")
    for when in ("before", "after"):
        assert set(summary[when]) == {"mean@8", "pass@8"}
        assert 0 <= summary[when]["mean@8"] <= summary[when]["pass@8"] <= 1
    assert (summary["finished"], summary["steps"], summary["rollouts"]) == (True, 2, 2 * 2 * 4)
    assert summary["tokens"] > 0
    assert summary["seconds"] > 0


def test_every_step_has_its_line_of_metrics(finished: Finished):
    lines = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        for section, names in SECTIONS.items():
            assert names <= {name.split("/")[1] for name in line if name.startswith(f"{section}/")}
        assert all(value is None or isinstance(value, int | float) for value in line.values())
    assert lines[-1]["evaluation/mean@8"] == finished.read("summary.json")["after"]["mean@8"]


def test_every_steps_rollouts_are_kept_with_verdicts_peers_and_divergences(finished: Finished):
    files = sorted((finished.folder / "rollouts").iterdir())
    assert [file.name for file in files] == ["step-000001.jsonl.zst", "step-000002.jsonl.zst"]
    tokens = 0
    for file in files:
        rows = [json.loads(line) for line in zstandard.ZstdDecompressor().decompress(file.read_bytes()).splitlines()]
        assert [len(row["rollouts"]) for row in rows] == [4, 4]
        for row in rows:
            for index, rollout in enumerate(row["rollouts"]):
                tokens += rollout["n_tokens"]
                assert rollout["status"] in ("passed", "failed")
                assert all((peer["group"], peer["index"]) != (row["group"], index) for peer in rollout["peers"])
                shown = rollout["token_values"]
                assert not shown or len(shown["divergence"]) == rollout["n_tokens"]
    assert tokens == finished.read("summary.json")["tokens"]


def test_the_last_checkpoint_is_a_hugging_face_model(finished: Finished):
    folder = finished.folder / "checkpoints" / "last"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1+1"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert torch.isfinite(model(**ids).logits).all()


VARIANTS = {
    "first-success, frozen, forward-kl": (
        *("--selector", "first-success", "--teacher", "frozen", "--divergence", "forward-kl"),
    ),
    "positive, trust region, jsd of the top k renormalised": (
        *("--selector", "positive", "--teacher", "trust-region", "--divergence", "jsd"),
        *("-o", "divergence.top_k=5", "-o", "divergence.remainder=renormalise"),
    ),
    "summary, skew-kl on the teacher's support": (
        *("--selector", "summary", "--divergence", "skew-kl", "-o", "context.summary_request=Sum it up."),
        *("-o", "divergence.top_k=5", "-o", "divergence.support=teacher"),
    ),
    "score-ordered, total variation, importance weights and steps": (
        *("--selector", "score-ordered", "--divergence", "total-variation"),
        *("-o", "objective.importance_clip=2", "-o", "objective.step_separator=;"),
    ),
    "random-peer, alpha, feedback": (
        *("--selector", "random-peer", "--divergence", "alpha", "-o", "context.feedback=true"),
    ),
    "unrelated-prompt, the sampled estimator": (
        *("--selector", "unrelated-prompt", "--divergence", "reverse-kl", "-o", "objective.estimator=sampled"),
    ),
    "success-only-matched, weighted sum": ("--selector", "success-only-matched", "--objective", "weighted-sum"),
    "grpo": ("--objective", "grpo"),
}


@pytest.mark.parametrize("plugins", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_selector_divergence_teacher_and_objective_runs(mopd_inside, tmp_path: Path, plugins: tuple[str, ...]):
    done = mopd_inside.run(*plugins, "--out", "here", training__steps=1, rollout__prompts=3).ok()
    assert done.err.splitlines()[-1].startswith("step 1/1: ")
    (line,) = (tmp_path / "here" / "metrics.jsonl").read_text().splitlines()
    metrics = json.loads(line)
    assert metrics["train/tokens"] > 0 or "trains on nothing" in done.err
    assert metrics.get("train/grad_norm", 1.0) > 0
    assert (metrics.get("context/share", 0.0) > 0) == ("grpo" not in plugins and "trains on nothing" not in done.err)


TOML = """
seed = 5
selector = "none"
teacher = "live"
divergence = {name = "reverse-kl", top_k = 5}
[data]
name = "table"
path = "sums.jsonl"
[rollout]
overlong_prompts = "drop"
sampling = {max_tokens = 32}
"""
YAML = """
seed: 5
selector: none
teacher: live
divergence: {name: reverse-kl, top_k: 5}
data: {name: table, path: sums.jsonl}
rollout:
  overlong_prompts: drop
  sampling: {max_tokens: 32}
"""


def test_a_config_file_describes_a_run_and_options_come_after_it(mopd_inside, tmp_path: Path):
    """With data of the user's own, and prompts in it that are too long."""
    (tmp_path / "run.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "run.yaml").write_text(YAML, encoding="utf-8")
    questions = [*(f"{n}+1" for n in range(10)), *(f"{n}{'+1' * 200}" for n in (1, 2))]
    rows = [json.dumps({"prompt": question, "reference": sum(map(int, question.split("+")))}) for question in questions]
    (tmp_path / "sums.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert mopd_inside("config", "show", "run.toml").ok().out == mopd_inside("config", "show", "run.yaml").ok().out
    own = {"data__train": None, "rollout__max_prompt_tokens": 64, "evaluation__sampling__max_tokens": 32}
    done = mopd_inside.run("run.toml", "--out", "here", training__steps=1, **own).ok()
    assert "2 prompts are left out: longer than rollout.max_prompt_tokens = 64" in done.err
    config = json.loads((tmp_path / "here" / "config.json").read_text())
    chosen = {section: config[section]["name"] for section in ("selector", "teacher", "divergence", "data")}
    assert chosen == {"selector": "none", "teacher": "live", "divergence": "reverse-kl", "data": "table"}
    assert (config["seed"], config["training"]["steps"], config["rollout"]["sampling"]["max_tokens"]) == (5, 1, 32)


def test_eval_takes_the_config_of_a_run_and_the_checkpoint_that_it_left(finished: Finished, mopd_inside):
    """Whatever the config says of training: a tracker has no folder here, and needs none."""
    config, model = finished.folder / "config.json", finished.folder / "checkpoints" / "last"
    done = mopd_inside(
        "eval", str(config), "--model", str(model), "-o", "tracking.trackers=[tensorboard]", "--json"
    ).ok()
    assert json.loads(done.out)["mean@8"] == finished.read("summary.json")["after"]["mean@8"]


@pytest.mark.parametrize("module", ["cli", "mopd_core"])
def test_python_dash_m_is_the_same_command(command: Any, tmp_path: Path, module: str):
    done = command([sys.executable, "-m", module], tmp_path)("config", "show", "-o", "seed=3").ok()
    assert "seed: 3" in done.out.splitlines()
    assert done.err == ""
