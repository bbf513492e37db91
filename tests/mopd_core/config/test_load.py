"""From files and options to a config; every mistake is one clear `ConfigError`, exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mopd_core.config.load import BUNDLED_RECIPE, load_config, load_routed, load_verifier, read_tree
from mopd_core.config.yaml_text import parse_yaml, write_yaml
from mopd_core.errors import ConfigError, DataError
from mopd_core.registry import Registries


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def test_layers_come_in_their_order(registries: Registries, write):
    file = write("{seed: 1, generator: {name: hf, batch: 7}, data: {path: a.csv}, training: {lr: 1e-4, steps: 3}}")
    config = load_config(file, registries, choices={"generator": "vllm"}, options=["training.steps=4", "seed=2"])
    assert (config.seed, config.training.steps, config.training.lr) == (2, 4, 1e-4)
    assert config.generator.model_dump() == {"name": "vllm", "url": "localhost", "tensor_parallel": 1}
    assert config.data.model_dump() == {"name": "table", "path": "a.csv"}
    assert config.training.warmup_steps == 10


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "seed: 3\ndata: {name: table, path: x}\n"),
        ("c.yml", "seed: 3\ndata:\n  path: x\nmodel:\n"),
        ("c.toml", 'seed = 3\n[data]\npath = "x"\n'),
        ("c.json", '{"seed": 3, "data": {"path": "x"}}'),
    ],
)
def test_every_format_says_the_same(registries: Registries, write, name: str, text: str):
    config = load_config(write(text, name), registries)
    assert (config.seed, config.data.name, config.model.path) == (3, "table", "bundled")


def test_without_a_file_the_bundled_recipe_is_the_base(registries: Registries):
    config = load_config(None, registries, options=["data.path=mine.jsonl"])
    assert config.data.model_dump() == {"name": "table", "path": "mine.jsonl"}
    assert config.training.lr == read_tree(BUNDLED_RECIPE)["training"]["lr"]


def test_a_stored_config_takes_the_bundled_recipes_place(registries: Registries):
    config = load_config(None, registries, stored={"seed": 9, "data": {"name": "bundled"}})
    assert (config.seed, config.training.lr) == (9, 1e-5)


def test_what_is_shown_can_be_loaded_again(registries: Registries, write):
    config = load_config(None, registries, options=["context.template=a\n{question} {context}: #\n", "seed=4"])
    again = load_config(write(write_yaml(config.model_dump(mode="json"))), registries)
    assert again.model_dump() == config.model_dump()


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("seed: [1\nrollout: 3\n", "c.yaml", r"cannot be parsed: .*\(line 2, column \d+\)"),
        ("seed = = 1\n", "c.toml", r"cannot be parsed: .*line 1"),
        ('{"seed": }', "c.json", r"cannot be parsed: .*line 1"),
        ("- seed\n", "c.yaml", "holds a list; it has to hold a mapping of sections"),
        ("", "c.yaml", "holds nothing; it has to hold"),
        ("seed: 1", "c.ini", r"suffix '\.ini'; allowed: \.yaml, \.yml, \.toml, \.json"),
        ("training:\n  lr: 1\n  lr: 2\n", "c.yaml", r"the key 'lr' stands here twice \(line 3, column 3\)"),
    ],
)
def test_a_bad_file_is_one_error_with_its_place(registries: Registries, write, text: str, name: str, words: str):
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(write(text, name), registries)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(registries: Registries, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"config file .*none\.yaml cannot be read: No such file or directory"):
        load_config(tmp_path / "none.yaml", registries)


def test_a_file_that_is_no_text_is_named(registries: Registries, tmp_path: Path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"c\.yaml cannot be parsed"):
        load_config(tmp_path / "c.yaml", registries)


MISTAKES = {
    "unknown plugin": (
        ["generator=vlm"],
        "no generator is called 'vlm'; installed: hf, vllm. Did you mean 'vllm'? `mopd plugins` lists them all",
    ),
    "unknown plugin in a list": (
        ["tracking.trackers=[bord]"],
        "no tracker is called 'bord'; installed: board, line. Did you mean 'board'? `mopd plugins` lists them all",
    ),
    "unknown routed verifier": (
        ["routed_verifiers=[{name: xyz}]"],
        "no verifier is called 'xyz'; installed: code, math. `mopd plugins` lists them all",
    ),
    "misspelt option of a plugin": (
        ["generator.bach=2"],
        "generator.bach is not an option of generator 'hf'. Did you mean 'batch'? Known: batch, mode, extra",
    ),
    "misspelt option in a list": (
        ["tracking.trackers=[{name: board, ulr: x}]"],
        "tracking.trackers.0.ulr is not an option of tracker 'board'. Did you mean 'url'? Known: url, tensor_parallel",
    ),
    "misspelt option of a section": (
        ["rollout.sampling.temprature=1"],
        "rollout.sampling.temprature is not an option of section 'rollout.sampling'. Did you mean 'temperature'? "
        "Known: temperature, top_p, top_k, max_tokens",
    ),
    "option of another section": (
        ["model.lr=1"],
        "model.lr is not an option of section 'model'. Did you mean 'training.lr'? "
        "Known: path, revision, chat_template_options, lora",
    ),
    "option of another plugin": (
        ["generator.tensor_parallel=2"],
        "generator.tensor_parallel is an option of generator 'vllm', not of the chosen 'hf'",
    ),
    "plugin without options": (["teacher.rate=1"], "teacher.rate is not an option of teacher 'ema'. Known: none"),
    "wrong type": (["training.steps=many"], "training.steps is 'many'; allowed: integer >= 1"),
    "truth for a number": (["training.lr=true"], "training.lr is true; allowed: number > 0"),
    "fraction for an integer": (["rollout.group_size=2.5"], "rollout.group_size is 2.5; allowed: integer >= 1"),
    "out of range": (["rollout.sampling.top_p=2"], "rollout.sampling.top_p is 2; allowed: number > 0 and <= 1"),
    "wrong word": (["training.schedule=cos"], "training.schedule is 'cos'; allowed: one of constant, linear, cosine"),
    "wrong word of a plugin": (["generator.mode=slow"], "generator.mode is 'slow'; allowed: one of fast, exact"),
    "short list": (
        ["training.betas=[0.5]"],
        "training.betas is [0.5]; allowed: list of 2: number >= 0 and < 1, number >= 0 and < 1",
    ),
    "wrong member of a list": (
        ["training.betas=[0.5, x]"],
        "training.betas.1 is 'x'; allowed: number >= 0 and < 1",
    ),
    "value for a section": (["training=5"], "training is 5; allowed: mapping of options"),
    "value for a list": (
        ["tracking.trackers=line"],
        "tracking.trackers is 'line'; allowed: list of one of board, line or mapping of options",
    ),
    "missing option": (["data=table"], "data.path is required. The file."),
    "a plugin's own check": (
        ["context.template=hello"],
        "context.template is 'hello': must hold {question} exactly once",
    ),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_says_what_is_allowed(registries: Registries, options: list[str], message: str):
    with pytest.raises(ConfigError) as caught:
        load_config(None, registries, options=options)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_mistakes_in_a_file_read_as_those_of_options(registries: Registries, write):
    text = """
    data: {train: 3}
    model: {revision: 12, 5: x}
    evaluation: 3
    generator: [hf]
    verifier: {name: math}
    lerning: 1
    """
    with pytest.raises(ConfigError) as caught:
        load_config(write(text), registries)
    assert str(caught.value).splitlines() == [
        "model.revision is 12; allowed: text or null (in quotes)",
        "model.5 is not an option of section 'model'. Known: path, revision, chat_template_options, lora",
        "data needs a name: one of bundled, table",
        "generator is ['hf']; allowed: a name (hf, vllm), or a mapping with name and options",
        "evaluation is 3; allowed: mapping of options",
        "and 1 more",
    ]


def test_no_data_is_said_with_what_there_is(registries: Registries, write):
    with pytest.raises(ConfigError, match="data is required; choose one of bundled, table, for example -o data=NAME"):
        load_config(write("seed: 1"), registries)


def test_nothing_installed_of_a_kind_is_said(registries: Registries):
    registries["teachers"].discard(registries["teachers"].get("ema").source)
    with pytest.raises(ConfigError, match="teacher is required, and no teacher is installed"):
        load_config(None, registries)


def test_a_verifier_alone_takes_its_own_options(registries: Registries):
    assert load_verifier("code", registries, ["verifier.tensor_parallel=3"]).model_dump() == {
        "name": "code",
        "url": "localhost",
        "tensor_parallel": 3,
    }


def test_a_verifier_alone_refuses_everything_else(registries: Registries):
    with pytest.raises(ConfigError, match=r"training is not an option of a config\. Known: verifier"):
        load_verifier("math", registries, ["training.lr=1"])
    with pytest.raises(ConfigError, match=r"verifier\.url is an option of verifier 'code', not of the chosen 'math'"):
        load_verifier("math", registries, ["verifier.url=1"])


def test_yaml_merges_and_anchors_still_work():
    assert parse_yaml("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n") == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}


def test_the_recipe_folder_holds_the_bundled_default():
    recipe = Path(__file__).parents[3] / "recipes" / "bundled.yaml"
    assert recipe.resolve() == BUNDLED_RECIPE.resolve()
    assert json.dumps(read_tree(recipe))


def test_a_routed_verifier_has_its_defaults(registries: Registries):
    assert load_routed("code", "rows/000007", registries).model_dump()["url"] == "localhost"


def test_a_routed_verifier_that_is_not_installed_names_the_prompt(registries: Registries):
    with pytest.raises(DataError) as caught:
        load_routed("maths", "rows/000007", registries)
    assert str(caught.value) == (
        "prompt 'rows/000007' names the verifier 'maths', which is not installed; installed: code, math. "
        "Did you mean 'math'? Repair the row, or install the plugin that registers it"
    )
