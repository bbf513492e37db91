"""A user's mistake is one line that says what is wrong and what to do, exit code 2, and no run's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "sums.jsonl": [{"prompt": f"1+{n}", "reference": 1 + n} for n in range(6)],
    "renamed.jsonl": [{"promt": "1+1", "reference": "2"}],
    "bad-gold.jsonl": [{"prompt": "1+1", "reference": "2"}, {"prompt": "1+2", "reference": "?? not a number ??"}],
    "long.jsonl": [{"prompt": "1+1;" * 40, "reference": "2"}, {"prompt": "1+1", "reference": "2"}],
    "empty.jsonl": [],
    "half.jsonl": [{"prompt": "1+1 \ud800", "reference": "2"}, {"prompt": "1+2", "reference": "3"}],
    "roles.jsonl": [
        {"prompt": [{"role": "tool", "content": "7"}, {"role": "user", "content": f"7+{n}"}], "reference": 7 + n}
        for n in range(3)
    ],
}


@dataclass(frozen=True)
class Mistake:
    """What is typed after `mopd run`, and what the one line has to say: what is wrong, what is allowed, what to do."""

    arguments: tuple[str, ...]
    said: tuple[str, ...]


def options(*settings: str) -> tuple[str, ...]:
    return tuple(part for setting in settings for part in ("-o", setting))


def of_file(name: str, *settings: str) -> tuple[str, ...]:
    return options("data.name=table", f"data.path={name}", *settings)


MISTAKES = {
    "an unknown plugin": Mistake(
        ("--selector", "contrastiv"),
        ("no selector is called 'contrastiv'", "installed: contrastive, first-success", "Did you mean 'contrastive'?"),
    ),
    "an unknown plugin in a file": Mistake(
        ("unknown.yaml",), ("no divergence is called 'jds'", "installed: alpha,", "Did you mean 'jsd'?")
    ),
    "a misspelt option": Mistake(
        options("training.step=3"),
        ("training.step is not an option of section 'training'", "Did you mean 'steps'?", "Known: steps, lr"),
    ),
    "a misspelt option in a file": Mistake(
        ("misspelt.toml",), ("rollout.group_sise is not an option", "Did you mean 'group_size'?", "Known: prompts,")
    ),
    "an option of another plugin": Mistake(
        options("teacher.current_weight=0.5"),
        ("teacher.current_weight is an option of teacher 'trust-region', not of the chosen 'ema'",),
    ),
    "a question with half a character": Mistake(
        of_file("half.jsonl", "data.held_out=1"),
        ("of dataset 'table' cannot be put into the model's chat template", "half of a surrogate pair"),
    ),
    "a role that the model's chat template refuses": Mistake(
        of_file("roles.jsonl", "data.held_out=1"),
        ("a message's role is tool; allowed: system, user, assistant", "Repair its messages or model.chat_template"),
    ),
    "a missing config file": Mistake(
        ("none.yaml",), ("config file none.yaml cannot be read", "No such file or directory")
    ),
    "a config file that is no YAML": Mistake(("broken.yaml",), ("broken.yaml cannot be parsed", "line 2, column 1")),
    "a wrong type": Mistake(
        options("training.lr=fast"),
        ("training.lr is 'fast'", "allowed: number > 0"),
    ),
    "a wrong type in a file": Mistake(
        ("wrong-type.toml",),
        ("training.steps is 'ten'", "allowed: integer >= 1"),
    ),
    "an option without =": Mistake(("-o", "training.steps"), ("-o 'training.steps' is not path=value", "for example")),
    "group size 1 with a selector that needs peers": Mistake(
        options("rollout.group_size=1"),
        ("rollout.group_size is 1", "selector 'contrastive' needs at least 2", "raise rollout.group_size"),
    ),
    "training rollouts without chance": Mistake(
        options("rollout.sampling.temperature=0"),
        ("rollout.sampling.temperature is 0", "allowed: number > 0"),
    ),
    "a sampled estimator of another divergence": Mistake(
        options("objective.estimator=sampled"),
        ("objective.estimator is 'sampled'", "the divergence is 'jsd'", "choose the divergence 'reverse-kl'"),
    ),
    "a sampled estimator of another divergence in a sum": Mistake(
        ("--objective", "weighted-sum", "--divergence", "alpha", *options("objective.distill.estimator=sampled")),
        ("objective.distill.estimator is 'sampled'", "the divergence is 'alpha'", "'reverse-kl'"),
    ),
    "--resume without a folder": Mistake(("--resume",), ("--resume needs --out DIR",)),
    "a missing data file": Mistake(
        of_file("none.jsonl"), ("no file 'none.jsonl'", "Did you mean 'long.jsonl'?", "Paths start at")
    ),
    "a missing column": Mistake(
        of_file("renamed.jsonl"),
        ("renamed.jsonl has no column 'prompt'", "columns: promt, reference", "Did you mean 'promt'?"),
    ),
    "an empty data set": Mistake(of_file("empty.jsonl"), ("empty.jsonl", "no rows")),
    "a gold that cannot be read": Mistake(
        of_file("bad-gold.jsonl", "data.held_out=0"),
        ("prompt 'bad-gold/000002'", "'?? not a number ??'", "a number"),
    ),
    "a question that does not fit the context budget": Mistake(
        of_file("long.jsonl", "data.held_out=0", "context.max_prompt_tokens=60"),
        ("prompt 'long/000001'", "closing instruction alone take", "60 are allowed", "Raise"),
    ),
    "nothing left to train on": Mistake(
        of_file("sums.jsonl", "data.held_out=6"),
        ("has 6 rows and data.held_out=6 leaves none to train on", "hold out fewer"),
    ),
    "a model that is not there": Mistake(
        options("model.path=./no-model"), ("there is no model folder './no-model'", "paths start at", "Hugging Face")
    ),
    "a teacher that is not there": Mistake(
        ("--teacher", "frozen", *options("teacher.path=/no/model")), ("there is no model folder '/no/model'",)
    ),
    "the training file held out": Mistake(
        of_file("sums.jsonl", "data.held_out_path=sums.jsonl", "data.held_out=null"),
        ("data.path and data.held_out_path both hold", "sums.jsonl", "leave data.held_out_path out"),
    ),
    "a selector that could never show anything": Mistake(
        ("--selector", "summary"),
        ("context.summary_request is empty", "selector 'summary'", "set context.summary_request"),
    ),
    "a folder that cannot be made": Mistake(("--out", "sums.jsonl/run"), ("sums.jsonl/run: Not a directory",)),
    "responses longer than the model": Mistake(
        options("rollout.sampling.max_tokens=100000"),
        ("a response may have 100000", "more than the model's 2048", "Lower rollout.sampling.max_tokens"),
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in FILES.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "unknown.yaml").write_text("data: bundled\ndivergence: jds\n", encoding="utf-8")
    (tmp_path / "misspelt.toml").write_text('data = "bundled"\n[rollout]\ngroup_sise = 4\n', encoding="utf-8")
    (tmp_path / "wrong-type.toml").write_text('data = "bundled"\n[training]\nsteps = "ten"\n', encoding="utf-8")
    (tmp_path / "broken.yaml").write_text("training: [\n", encoding="utf-8")
    return tmp_path


def assert_one_line(done: Any, said: tuple[str, ...]) -> None:
    assert done.code == 2, done.err
    (line,) = done.errors
    assert done.err == f"{line}\n"
    for part in said:
        assert part in line
    assert "pydantic" not in done.err
    assert done.out == ""


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(mopd_inside, folder: Path, name: str):
    before = sorted(folder.rglob("*"))
    mistake = MISTAKES[name]
    assert_one_line(mopd_inside("run", *mistake.arguments), mistake.said)
    assert sorted(folder.rglob("*")) == before


def test_the_installed_command_says_it_too(mopd, folder: Path):
    mistake = MISTAKES["a gold that cannot be read"]
    assert_one_line(mopd("run", *mistake.arguments), mistake.said)


@pytest.fixture
def run(mopd_inside, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed before its first step."""
    folder = tmp_path_factory.mktemp("run")
    config = mopd_inside("config", "show", "--json").ok().out
    (folder / "config.json").write_text(config, encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


FOLDERS = {
    "a new run in the folder of another": (("--out", "{run}"), ("already holds a run", "--resume", "another --out")),
    "resuming with another config": (
        ("--out", "{run}", "--resume", *options("training.lr=0.5", "rollout.prompts=3")),
        ("training.lr 0.0002 -> 0.5", "rollout.prompts 8 -> 3", "What may change: ", "training.steps"),
    ),
    "resuming with another plugin": (
        ("--out", "{run}", "--resume", "--teacher", "live"),
        ('teacher.name "ema" -> "live"', "start a new run in another folder"),
    ),
    "resuming where there is no run": (("--out", ".", "--resume"), ("'.' holds no run", "check the path")),
    "resuming where there is no folder": (("--out", "none", "--resume"), ("'none' holds no run",)),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_cannot_be_used_is_one_line_and_left_as_it_is(mopd_inside, run: Path, tmp_path: Path, name: str):
    before = contents(run), contents(tmp_path)
    arguments, said = FOLDERS[name]
    assert_one_line(mopd_inside("run", *(part.format(run=run) for part in arguments)), said)
    assert (contents(run), contents(tmp_path)) == before


def test_an_unknown_kind_of_plugin_is_one_line(mopd):
    done = mopd("plugins", "--kind", "selecter")
    assert_one_line(done, ("there is no kind 'selecter' of plugins", "Did you mean 'selector'?"))
