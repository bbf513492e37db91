"""The options of `combine` as users write them: YAML, `-o`, mistakes, the schema, the listing, and resuming."""

from __future__ import annotations

from pathlib import Path

import pytest

from mopd_core.config.compose import compose
from mopd_core.config.listing import plugin_options
from mopd_core.config.load import load_config, load_verifier
from mopd_core.config.reference import built_in
from mopd_core.config.resume import check_resumable
from mopd_core.config.yaml_text import write_yaml
from mopd_core.errors import CheckpointError, ConfigError
from mopd_core.registry import Registries

MIXTURE = """\
data: bundled
verifier:
  name: combine
  rule: weighted-sum
  pass_at: 0.8
  parts:
    - verifier: {name: math, timeout_s: 3}
      reference: answer
      weight: 0.8
    - verifier:
        name: combine
        rule: all
        parts:
          - verifier: {name: format, tags: [think, answer]}
          - verifier: {name: length, soft_chars: 1000, max_chars: 4000}
      weight: 0.2
"""


@pytest.fixture(scope="module")
def registries() -> Registries:
    return built_in()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(MIXTURE, encoding="utf-8")
    return path


def test_yaml_is_typed_at_every_depth(registries, file):
    verifier = load_config(file, registries).verifier
    first, second = verifier.parts
    assert (first.verifier.name, first.verifier.timeout_s, first.weight, first.reference) == (
        "math",
        3.0,
        0.8,
        "answer",
    )
    assert [part.verifier.name for part in second.verifier.parts] == ["format", "length"]
    assert second.verifier.parts[0].verifier.tags == ("think", "answer")


def test_options_change_parts_by_their_number(registries, file):
    options = ["verifier.parts.0.weight=0.5", "verifier.parts.1.verifier.parts.1.verifier.max_chars=5000"]
    verifier = load_config(file, registries, options=options).verifier
    assert verifier.parts[0].weight == 0.5
    assert verifier.parts[1].verifier.parts[1].verifier.max_chars == 5000
    assert verifier.parts[1].weight == 0.2


def test_parts_fit_into_one_option(registries):
    options = ["verifier.rule=all", "verifier.parts=[{verifier: math}, {verifier: {name: format, pattern: '=> \\d+'}}]"]
    verifier = load_verifier("combine", registries, options)
    assert [part.verifier.name for part in verifier.parts] == ["math", "format"]
    assert verifier.parts[1].verifier.pattern == r"=> \d+"


def test_what_is_shown_loads_again(registries, file, tmp_path):
    config = load_config(file, registries)
    shown = tmp_path / "shown.yaml"
    shown.write_text(write_yaml(config.model_dump(mode="json")), encoding="utf-8")
    assert load_config(shown, registries).model_dump() == config.model_dump()


MISTAKES = {
    "unknown part": (
        ["verifier.parts.0.verifier=mth"],
        "no verifier is called 'mth'; installed: ",
    ),
    "unknown field of a part": (
        ["verifier.parts.0.verifier.timeout=3"],
        "verifier.parts.0.verifier.timeout is not an option of verifier 'math'. Did you mean 'timeout_s'?",
    ),
    "unknown field beside it": (
        ["verifier.parts.0.wait=3"],
        "verifier.parts.0.wait is not an option of section 'verifier.parts.0'. Did you mean 'weight'?",
    ),
    "negative weight": (
        ["verifier.parts.1.weight=-0.1"],
        "verifier.parts.1.weight is -0.1; allowed: number >= 0 and <= 1000000 or null",
    ),
    "no weight at all": (
        ["verifier.parts.0.weight=0", "verifier.parts.1.weight=0"],
        "verifier: every weight is 0, so that no part would count; give at least one a weight above 0",
    ),
    "a weight that nothing reads": (
        ["verifier.rule=all", "verifier.pass_at=null"],
        "verifier: a weight is given, but the rule is 'all'; only 'weighted-sum' reads it",
    ),
    "a bound that nothing reads": (
        ["verifier.rule=any", "verifier.parts=[{verifier: math}]"],
        "verifier: pass_at is given, but the rule is 'any'; only 'weighted-sum' reads it",
    ),
    "pass at nothing": (["verifier.pass_at=0"], "verifier.pass_at is 0; allowed: number > 0 and <= 1 or null"),
    "no parts": (["verifier.parts=[]"], "verifier.parts is []; allowed: list of mapping of options, at least 1"),
    "unknown rule": (["verifier.rule=most"], "verifier.rule is 'most'; allowed: one of all, any, weighted-sum"),
    "a part's own check": (
        ["verifier.parts.1.verifier.parts.1.verifier.max_chars=10"],
        "verifier.parts.1.verifier.parts.1.verifier: max_chars (10) is below soft_chars (1000); "
        "it has to be at least as large",
    ),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_names_its_place(registries, file, options, message):
    with pytest.raises(ConfigError) as caught:
        load_config(file, registries, options=options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_weight_of_zero_beside_others_is_fine(registries, file):
    assert load_config(file, registries, options=["verifier.parts.1.weight=0"]).verifier.parts[1].weight == 0.0


def test_the_schema_types_the_parts(registries):
    schema = compose(registries).model_json_schema()
    part = schema["$defs"]["PartConfig"]
    assert part["additionalProperties"] is False
    offered = {ref["$ref"].rsplit("/", 1)[-1] for ref in part["properties"]["verifier"]["anyOf"][0]["oneOf"]}
    assert {"CombineVerifier", "FormatVerifier", "LengthVerifier", "MathVerifier"} <= offered


def test_the_listing_shows_the_parts(registries):
    (found,) = plugin_options(registries, "combine")
    paths = [option.path for option in found.options]
    assert paths == ["rule", "parts", "parts.N.verifier", "parts.N.weight", "parts.N.reference", "pass_at"]
    assert all(option.help for option in found.options)


def test_workers_of_a_part_may_change_on_resume_and_nothing_else(registries, file):
    stored = load_config(file, registries).model_dump(mode="json")
    workers = ["verifier.parts.0.verifier.workers=2", "verifier.parts.1.verifier.parts.0.verifier.workers=2"]
    check_resumable(stored, load_config(file, registries, options=workers))
    with pytest.raises(CheckpointError, match=r"verifier\.parts\.0\.verifier\.timeout_s 3\.0 -> 4\.0"):
        check_resumable(stored, load_config(file, registries, options=["verifier.parts.0.verifier.timeout_s=4"]))
    with pytest.raises(CheckpointError, match=r"verifier\.parts\.1\.weight 0\.2 -> 0\.3"):
        check_resumable(stored, load_config(file, registries, options=["verifier.parts.1.weight=0.3"]))
