"""Plugins whose options choose other plugins: typed, explained, merged, listed and resumed as the run's own choices."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import Field

from mopd_core.config.base import ConfigModel, PluginChoice, PluginConfig
from mopd_core.config.choices import ChoiceOf, Place, choices_in, place_of
from mopd_core.config.compose import RunConfig, compose
from mopd_core.config.listing import plugin_options
from mopd_core.config.load import load_config, load_routed, load_verifier
from mopd_core.config.reference import reference
from mopd_core.config.resume import check_resumable
from mopd_core.config.yaml_text import write_yaml
from mopd_core.errors import CheckpointError, ConfigError, PluginError
from mopd_core.registry import Distribution, Registries

Judge = Annotated[PluginChoice, ChoiceOf("verifiers")]


class Slow(PluginConfig):
    """Takes its time."""

    result_neutral = frozenset({"workers"})

    workers: int = Field(default=1, ge=1)
    """Processes."""

    limit: float = 5.0
    """Seconds."""

    def conflict(self, run: Any) -> str | None:
        return "it is too slow for two steps; take more" if run.training.steps == 2 else None


class Share(ConfigModel):
    """One of several."""

    judge: Judge
    """What judges."""

    weight: float = 1.0
    """How much it counts."""


class Panel(PluginConfig):
    """Several verifiers."""

    shares: tuple[Share, ...] = Field(min_length=1)
    """Who they are."""


class Cached(PluginConfig):
    """Remembers what another one said."""

    inner: Judge = PluginChoice(name="math")
    """Who is asked the first time."""

    spare: Judge | None = None
    """Who is asked where the first one fails."""

    board: Annotated[PluginChoice, ChoiceOf("trackers")] | None = None
    """Where hits are counted."""


@pytest.fixture
def holders(registries: Registries) -> Registries:
    registries["verifiers"].source = Distribution("holders", "holders-package", "2.0")
    for name, config_type in {"slow": Slow, "panel": Panel, "cached": Cached}.items():
        registries["verifiers"].add(name, config_type, lambda config, _: SimpleNamespace(config=config, verify=None))
    return registries


def verifier_of(registries: Registries, tree: Any, *options: str) -> Any:
    return load_config(None, registries, options=options, stored={"data": "bundled", "verifier": tree}).verifier


def mistake(registries: Registries, tree: Any, *options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        verifier_of(registries, tree, *options)
    return str(caught.value)


def test_a_mark_says_what_a_field_holds():
    fields = Cached.model_fields
    assert place_of(fields["inner"]) == place_of(fields["spare"]) == Place(kind="verifiers")
    assert place_of(fields["board"]) == Place(kind="trackers")
    assert place_of(Panel.model_fields["shares"]) == Place(item=Place(section=Share))
    assert place_of(Slow.model_fields["limit"]) == place_of(None) == Place()
    assert place_of(RunConfig.model_fields["routed_verifiers"]) == Place(item=Place(kind="verifiers"))


def test_choices_within_options_are_typed_by_what_is_installed(holders: Registries):
    shares = [{"judge": {"name": "slow", "limit": 2}, "weight": 3}, {"judge": "code"}]
    config = verifier_of(holders, {"name": "panel", "shares": shares})
    assert isinstance(config, Panel)
    assert all(isinstance(share, Share) for share in config.shares)
    assert isinstance(config.shares[0].judge, Slow)
    assert config.model_dump()["shares"] == (
        {"judge": {"name": "slow", "workers": 1, "limit": 2.0}, "weight": 3.0},
        {"judge": {"name": "code", "url": "localhost", "tensor_parallel": 1}, "weight": 1.0},
    )
    assert holders["verifiers"].build(config.shares[0].judge, None).config is config.shares[0].judge


def test_choices_nest_to_any_depth_through_each_other(holders: Registries):
    tree: Any = "slow"
    for _ in range(4):
        tree = {"name": "panel", "shares": [{"judge": {"name": "cached", "inner": tree}}]}
    config = verifier_of(holders, tree)
    for _ in range(4):
        config = config.shares[0].judge.inner
    assert config.model_dump() == {"name": "slow", "workers": 1, "limit": 5.0}


def test_a_default_choice_is_typed_as_well(holders: Registries):
    config = verifier_of(holders, "cached")
    assert (config.inner.model_dump(), config.spare) == ({"name": "math"}, None)
    assert type(config.inner) is not PluginChoice


def test_a_default_that_is_not_installed_is_named(holders: Registries):
    holders["verifiers"].discard(holders["verifiers"].get("math").source)
    assert mistake(holders, "cached").startswith("no verifier is called 'math'; installed: cached, panel, slow.")


@pytest.mark.parametrize(
    "tree",
    [
        {"verifier": "slow"},
        {"routed_verifiers": ["slow"]},
        {"verifier": {"name": "panel", "shares": [{"judge": "slow"}]}},
    ],
    ids=["the run's", "routed", "nested"],
)
def test_every_choice_is_asked_whether_it_fits_the_run(holders: Registries, tree: Any):
    load_config(None, holders, stored={"data": "bundled", **tree})
    with pytest.raises(ConfigError) as raised:
        load_config(None, holders, stored={"data": "bundled", "training": {"steps": 2}, **tree})
    assert str(raised.value) == "verifier 'slow': it is too slow for two steps; take more"


def test_every_choice_is_found_with_its_path(holders: Registries):
    shares = [{"judge": "slow"}, {"judge": {"name": "cached", "board": "line"}}]
    tree = {
        "data": "bundled",
        "verifier": {"name": "panel", "shares": shares},
        "routed_verifiers": ["slow"],
        "tracking": {"trackers": ["board"]},
    }
    found = {path: choice.name for path, choice in choices_in(load_config(None, holders, stored=tree))}
    assert {path: name for path, name in found.items() if path.startswith(("verifier", "routed", "tracking"))} == {
        "verifier": "panel",
        "verifier.shares.0.judge": "slow",
        "verifier.shares.1.judge": "cached",
        "verifier.shares.1.judge.inner": "math",
        "verifier.shares.1.judge.board": "line",
        "routed_verifiers.0": "slow",
        "tracking.trackers.0": "board",
    }


MISTAKES: dict[str, tuple[Any, str]] = {
    "unknown plugin": (
        {"name": "panel", "shares": [{"judge": "slo"}]},
        "no verifier is called 'slo'; installed: cached, code, math, panel, slow. Did you mean 'slow'? "
        "`mopd plugins` lists them all",
    ),
    "unknown plugin of another kind": (
        {"name": "cached", "board": {"name": "lines"}},
        "no tracker is called 'lines'; installed: board, line. Did you mean 'line'? `mopd plugins` lists them all",
    ),
    "misspelt option": (
        {"name": "panel", "shares": [{"judge": "math"}, {"judge": {"name": "slow", "limt": 2}}]},
        "verifier.shares.1.judge.limt is not an option of verifier 'slow'. Did you mean 'limit'? Known: workers, limit",
    ),
    "option of another plugin": (
        {"name": "panel", "shares": [{"judge": {"name": "math", "limit": 2}}]},
        "verifier.shares.0.judge.limit is an option of verifier 'slow', not of the chosen 'math'",
    ),
    "misspelt key beside a choice": (
        {"name": "panel", "shares": [{"judge": "math", "wieght": 2}]},
        "verifier.shares.0.wieght is not an option of section 'verifier.shares.0'. Did you mean 'weight'? "
        "Known: judge, weight",
    ),
    "value out of range": (
        {"name": "panel", "shares": [{"judge": {"name": "slow", "workers": 0}}]},
        "verifier.shares.0.judge.workers is 0; allowed: integer >= 1",
    ),
    "several levels down": (
        {"name": "cached", "inner": {"name": "panel", "shares": [{"judge": {"name": "cached", "spare": {"nam": 3}}}]}},
        "verifier.inner.shares.0.judge.spare needs a name: one of cached, code, math, panel, slow",
    ),
    "missing option of a bare name": (
        {"name": "cached", "inner": "panel"},
        "verifier.inner.shares is required. Who they are.",
    ),
    "choice without a name": (
        {"name": "panel", "shares": [{"judge": {"limit": 2}}]},
        "verifier.shares.0.judge needs a name: one of cached, code, math, panel, slow",
    ),
    "no choice": (
        {"name": "panel", "shares": [{"weight": 2}]},
        "verifier.shares.0.judge is required; choose one of cached, code, math, panel, slow, for example "
        "-o verifier.shares.0.judge=NAME",
    ),
    "something else than a choice": (
        {"name": "panel", "shares": [{"judge": 3}]},
        "verifier.shares.0.judge is 3; allowed: a name (cached, code, math, panel, slow), or a mapping with name and "
        "options",
    ),
    "nobody": (
        {"name": "panel", "shares": []},
        "verifier.shares is []; allowed: list of mapping of options, at least 1",
    ),
}


@pytest.mark.parametrize(("tree", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_nested_choice_is_one_line_that_names_its_place(holders: Registries, tree: Any, message: str):
    assert mistake(holders, tree) == message


def test_several_mistakes_are_several_lines(holders: Registries):
    shares = [{"judge": "slo"}, {"judge": {"name": "slow", "limit": "x", "workers": 0}}]
    assert mistake(holders, {"name": "panel", "shares": shares}).splitlines() == [
        "no verifier is called 'slo'; installed: cached, code, math, panel, slow. Did you mean 'slow'? "
        "`mopd plugins` lists them all",
        "verifier.shares.1.judge.workers is 0; allowed: integer >= 1",
        "verifier.shares.1.judge.limit is 'x'; allowed: number",
    ]


def test_an_only_plugin_of_its_kind_is_named_as_well(registries: Registries):
    registries["trackers"].discard(registries["trackers"].get("line").source)
    registries["trackers"].add("file", PluginConfig, lambda config, context: config)
    registries["verifiers"].add("cached", Cached, lambda config, context: config)
    assert mistake(registries, {"name": "cached", "board": "fil"}) == (
        "no tracker is called 'fil'; installed: file. Did you mean 'file'? `mopd plugins` lists them all"
    )
    assert mistake(registries, {"name": "cached", "board": {"name": "fil", "path": "x"}}) == (
        "no tracker is called 'fil'; installed: file. Did you mean 'file'? `mopd plugins` lists them all"
    )


def test_nothing_of_a_kind_that_an_option_chooses_from(registries: Registries):
    registries["trackers"].discard(registries["trackers"].get("line").source)
    registries["verifiers"].add("cached", Cached, lambda config, context: config)
    assert "'line' is not installed, and nothing else of its kind is" in mistake(
        registries, {"name": "cached", "board": "line"}
    )


def test_nested_choices_can_be_given_as_one_option(holders: Registries):
    given = "verifier.shares=[{judge: {name: slow, limit: 1e1}, weight: 2}, {judge: math}]"
    config = verifier_of(holders, "panel", given)
    assert [(share.judge.name, share.weight) for share in config.shares] == [("slow", 2.0), ("math", 1.0)]
    assert config.shares[0].judge.limit == 10.0


def test_options_reach_into_items_of_a_list_by_their_number(holders: Registries):
    tree = {"name": "panel", "shares": [{"judge": {"name": "slow", "limit": 2}}, {"judge": "math"}]}
    options = ["verifier.shares.0.judge.workers=3", "verifier.shares.1.weight=0.5", "verifier.shares.1.judge=code"]
    assert [share.model_dump() for share in verifier_of(holders, tree, *options).shares] == [
        {"judge": {"name": "slow", "workers": 3, "limit": 2.0}, "weight": 1.0},
        {"judge": {"name": "code", "url": "localhost", "tensor_parallel": 1}, "weight": 0.5},
    ]


def test_an_item_that_is_not_there_is_refused(holders: Registries):
    tree = {"name": "panel", "shares": [{"judge": "math"}]}
    assert mistake(holders, tree, "verifier.shares.1.weight=2").startswith("verifier.shares; allowed: list of")


def test_another_plugin_in_a_nested_place_drops_the_formers_options(holders: Registries):
    tree = {"name": "cached", "inner": {"name": "slow", "limit": 2}, "spare": "slow"}
    options = ["verifier.inner.name=code", "verifier.inner.url=there", "verifier.spare.limit=3"]
    config = verifier_of(holders, tree, *options)
    assert config.inner.model_dump() == {"name": "code", "url": "there", "tensor_parallel": 1}
    assert config.spare.model_dump() == {"name": "slow", "workers": 1, "limit": 3.0}


def test_a_list_of_choices_is_reached_into_as_well(holders: Registries):
    stored = {"data": "bundled", "routed_verifiers": [{"name": "slow", "limit": 2}, "code"]}
    config = load_config(None, holders, stored=stored, options=["routed_verifiers.0.workers=4"])
    assert [choice.model_dump() for choice in config.routed_verifiers] == [
        {"name": "slow", "workers": 4, "limit": 2.0},
        {"name": "code", "url": "localhost", "tensor_parallel": 1},
    ]


def test_what_is_shown_loads_again(holders: Registries, tmp_path: Path):
    shares = [{"judge": {"name": "cached", "inner": {"name": "panel", "shares": [{"judge": "slow"}]}}}]
    config = load_config(None, holders, stored={"data": "bundled", "verifier": {"name": "panel", "shares": shares}})
    file = tmp_path / "config.yaml"
    file.write_text(write_yaml(config.model_dump(mode="json")), encoding="utf-8")
    assert load_config(file, holders).model_dump() == config.model_dump()
    composed = compose(holders)
    assert composed.model_validate_json(config.model_dump_json()).model_dump() == config.model_dump()


def test_the_schema_holds_nested_choices_and_their_kind(holders: Registries):
    schema = compose(holders).model_json_schema()
    judge = schema["$defs"]["Share"]["properties"]["judge"]
    assert (judge["x-plugin-kind"], judge["description"]) == ("verifiers", "What judges.")
    assert {"enum": ["cached", "code", "math", "panel", "slow"], "type": "string"} in judge["anyOf"]
    assert {"$ref": "#/$defs/PanelVerifier"} in judge["anyOf"][0]["oneOf"]
    assert schema["$defs"]["CachedVerifier"]["properties"]["inner"]["default"] == {"name": "math"}
    assert json.dumps(schema)


def test_a_list_of_sections_is_listed_with_the_options_of_its_items(holders: Registries):
    (found,) = plugin_options(holders, "panel")
    judges = "one of cached, code, math, panel, slow or mapping of options"
    assert [(option.path, option.accepts, option.required) for option in found.options] == [
        ("shares", "list of mapping of options, at least 1", True),
        ("shares.N.judge", judges, True),
        ("shares.N.weight", "number", False),
    ]
    assert "| `verifier.shares.N.weight` | number | `1.0` | How much it counts. |" in reference(holders)


def test_what_a_nested_plugin_says_no_result_depends_on_may_change(holders: Registries):
    tree = {"name": "panel", "shares": [{"judge": {"name": "cached", "inner": "slow"}}, {"judge": "math"}]}
    stored_tree = {"data": "bundled", "verifier": tree, "routed_verifiers": ["slow"]}
    stored = load_config(None, holders, stored=stored_tree).model_dump(mode="json")

    def resumed(*options: str) -> None:
        check_resumable(stored, load_config(None, holders, stored=stored_tree, options=options))

    resumed("verifier.shares.0.judge.inner.workers=4", "routed_verifiers.0.workers=2")
    with pytest.raises(CheckpointError, match=r"verifier\.shares\.0\.judge\.inner\.limit 5\.0 -> 6\.0"):
        resumed("verifier.shares.0.judge.inner.limit=6")
    with pytest.raises(CheckpointError, match=r'verifier\.shares\.1\.judge\.name "math" -> "slow"'):
        resumed("verifier.shares.1.judge=slow")
    with pytest.raises(CheckpointError, match=r"verifier\.shares \[.*\] -> \["):
        resumed("verifier.shares=[{judge: slow}]")


def test_a_mark_of_no_kind_is_refused_with_its_distribution(registries: Registries):
    class Typo(PluginConfig):
        inner: Annotated[PluginChoice, ChoiceOf("verifier")]

    registries["trackers"].source = Distribution("bad", "bad-package", "0.1")
    registries["trackers"].add("typo", Typo, lambda config, context: config)
    with pytest.raises(PluginError, match=r"bad-package 0\.1 .* tracker 'typo'.*'verifier', which is no kind; kin"):
        compose(registries)


def test_a_verifier_without_a_run_may_hold_others(holders: Registries):
    choice = load_verifier("panel", holders, ["verifier.shares=[{judge: {name: slow, limit: 1}}]"])
    assert choice.model_dump()["shares"][0]["judge"] == {"name": "slow", "workers": 1, "limit": 1.0}


def test_a_row_that_names_a_verifier_which_needs_options_is_told_where_to_give_them(holders: Registries):
    with pytest.raises(ConfigError) as caught:
        load_routed("panel", "rows/7", holders)
    assert str(caught.value) == (
        "prompt 'rows/7' names the verifier 'panel', which cannot be used without options: choose it as `verifier`, or "
        "list it with its options in `routed_verifiers`. As it is: verifier.shares is required. Who they are."
    )
