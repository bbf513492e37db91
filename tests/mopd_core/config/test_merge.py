"""Merging: later layers win, a section's options belong to its plugin, and `-o` items form one layer in any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mopd_core.config.base import OptionText
from mopd_core.config.compose import compose
from mopd_core.config.merge import Tree, choice_layer, default_layer, merge, option_layer
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries

fixture_is_constant = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

leaves = st.integers() | st.text(max_size=3) | st.booleans()
trees = st.dictionaries(
    st.sampled_from(["seed", "training", "rollout"]),
    st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6),
)
sections = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["hf", "vllm"]), "url": leaves, "batch": leaves, "mode": leaves}
)
layers = st.builds(lambda tree, section: {**tree, "generator": section}, trees, sections)


@fixture_is_constant
@given(layers)
def test_merging_a_layer_with_itself_changes_nothing(registries: Registries, layer: dict[str, Any]):
    assert merge([layer, layer], registries) == merge([layer], registries) == layer


@fixture_is_constant
@given(layers, layers, layers)
def test_merging_one_by_one_is_merging_at_once(registries: Registries, a: Tree, b: Tree, c: Tree):
    assert merge([merge([a, b], registries), c], registries) == merge([a, b, c], registries)


@fixture_is_constant
@given(layers, layers)
def test_the_later_layer_wins_at_every_leaf(registries: Registries, a: dict[str, Any], b: dict[str, Any]):
    merged = merge([a, b], registries)

    def holds(tree: Any, layer: Any) -> bool:
        if isinstance(layer, dict) and isinstance(tree, dict):
            return all(key in tree and holds(tree[key], value) for key, value in layer.items())
        return bool(tree == layer)

    assert holds(merged, b)


@fixture_is_constant
@given(layers, layers)
def test_nothing_is_lost_where_the_plugin_stays(registries: Registries, a: dict[str, Any], b: dict[str, Any]):
    before, after = a["generator"], b["generator"]
    expected = {**before, **after}
    if "name" in after and after["name"] != before.get("name"):
        expected = after
    assert merge([a, b], registries)["generator"] == expected


@fixture_is_constant
@given(layers, layers)
def test_layers_are_not_changed(registries: Registries, a: dict[str, Any], b: dict[str, Any]):
    copies = repr((a, b))
    merge([a, b], registries)
    assert repr((a, b)) == copies


def test_choosing_another_plugin_drops_the_formers_options(registries: Registries):
    file = {"generator": {"name": "hf", "batch": 8}}
    assert merge([file, choice_layer({"generator": "vllm"})], registries) == {"generator": {"name": "vllm"}}


def test_choosing_the_same_plugin_again_keeps_its_options(registries: Registries):
    file = {"generator": {"name": "hf", "batch": 8}}
    assert merge([file, choice_layer({"generator": "hf"})], registries) == file


def test_a_bare_name_in_a_layer_is_a_choice(registries: Registries):
    merged = merge([{"generator": {"name": "hf", "batch": 8}}, {"generator": "vllm"}], registries)
    assert merged == {"generator": {"name": "vllm"}}


def test_options_of_a_choice_and_the_choice_may_come_in_any_order(registries: Registries):
    base = {"generator": {"name": "hf", "batch": 8}}
    one = option_layer(["generator.url=there", "generator=vllm"])
    other = option_layer(["generator=vllm", "generator.url=there"])
    assert merge([base, one], registries) == merge([base, other], registries)
    assert merge([base, one], registries) == {"generator": {"name": "vllm", "url": "there"}}


def test_a_path_alone_chooses_the_table(registries: Registries):
    bundled = {"data": {"name": "bundled", "train": 5}}
    merged = merge([bundled, option_layer(["data.path=a.csv"])], registries)
    assert merged == {"data": {"name": "table", "path": "a.csv"}}


def test_a_path_chooses_nothing_where_the_chosen_plugin_has_one(registries: Registries):
    class Folder(registries["datasets"].get("table").config_type):  # type: ignore[misc]
        pass

    registries["datasets"].add("folder", Folder, lambda config, context: config)
    merged = merge([{"data": {"name": "folder"}}, option_layer(["data.path=a"])], registries)
    assert merged == {"data": {"name": "folder", "path": "a"}}


def test_a_path_beside_a_name_chooses_nothing(registries: Registries):
    merged = merge([{"data": "bundled"}, {"data": {"name": "bundled", "path": "a"}}], registries)
    assert merged["data"]["name"] == "bundled"


def test_defaults_are_names_only(registries: Registries):
    layer = default_layer(compose(registries))
    assert layer["generator"] == {"name": "hf"}
    assert "data" not in layer
    assert "training" not in layer


def test_option_values_stay_text():
    layer = option_layer(["training.lr=1e-4", "context.template=a=b"])
    assert layer == {"training": {"lr": "1e-4"}, "context": {"template": "a=b"}}
    assert isinstance(layer["training"]["lr"], OptionText)


def test_the_last_of_two_values_for_one_path_counts():
    assert option_layer(["seed=1", "seed=2"]) == {"seed": "2"}


@pytest.mark.parametrize("option", ["seed", "", "=1", ".seed=1", "training..lr=1", "training.=1"])
def test_an_item_that_is_no_path_and_value_is_refused(option: str):
    with pytest.raises(ConfigError, match=r"is not path=value; write for example -o training\.lr=1e-4"):
        option_layer([option])


@pytest.mark.parametrize("options", [["training=1", "training.lr=2"], ["training.lr=2", "training=1"]])
def test_a_whole_and_a_part_of_it_contradict_each_other(options: list[str]):
    with pytest.raises(ConfigError, match="another -o"):
        option_layer(options)
