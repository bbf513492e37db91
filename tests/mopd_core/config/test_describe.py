"""Options in words: what listings, the reference and errors say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from mopd_core.config.base import ConfigModel
from mopd_core.config.describe import Option, options_of
from mopd_core.config.listing import list_plugins, plugin_options
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries


class Inner(ConfigModel):
    """An inner section."""

    size: int = Field(default=2, ge=1, lt=9)
    """How large."""


class Outer(ConfigModel):
    """A section with one of each."""

    needed: float
    """Must be given."""

    word: Literal["a", "b"] = "a"
    single: Literal["only"] = "only"
    mixed: int | Literal["auto"] | None = None
    many: list[str] = Field(default=[])
    pair: tuple[int, float] = (1, 2.0)
    free: dict[str, int] = Field(default={})
    file: Path = Path("x")
    flag: bool = False
    inner: Inner = Inner(size=4)
    maybe: Inner | None = None


def test_options_in_words():
    found = {option.path: (option.accepts, option.default) for option in options_of(Outer)}
    assert found == {
        "needed": ("number", None),
        "word": ("one of a, b", "a"),
        "single": ("only", "only"),
        "mixed": ("auto or integer or null", None),
        "many": ("list of text", []),
        "pair": ("list of 2: integer, number", [1, 2.0]),
        "free": ("mapping of integer", {}),
        "file": ("path", "x"),
        "flag": ("true/false", False),
        "inner.size": ("integer >= 1 and < 9", 4),
        "maybe": ("mapping of options or null", None),
    }


def test_required_options_and_docstrings():
    assert options_of(Outer)[0] == Option("needed", "number", required=True, default=None, help="Must be given.")


def test_plugins_are_listed_by_kind_and_name_with_their_distribution(registries: Registries):
    rows = [(row.kind, row.name) for row in list_plugins(registries)]
    assert rows[:4] == [("generator", "hf"), ("generator", "vllm"), ("verifier", "code"), ("verifier", "math")]
    assert len(rows) == 14
    row = list_plugins(registries, "generator")[0]
    assert (row.distribution, row.version, row.help) == ("scripted-plugins", "1.0", "Samples here.")


def test_a_kind_may_be_singular_or_plural(registries: Registries):
    assert list_plugins(registries, "tracker") == list_plugins(registries, "trackers") != []


def test_no_such_kind(registries: Registries):
    with pytest.raises(
        ConfigError, match=r"no kind 'verifer' of plugins\. Did you mean 'verifier'\? Kinds: generator, "
    ):
        list_plugins(registries, "verifer")


def test_a_plugins_options_leave_its_name_out(registries: Registries):
    (found,) = plugin_options(registries, "hf")
    assert [option.path for option in found.options] == ["batch", "mode", "extra"]
    assert found.options[0].accepts == "integer >= 1 or null"


def test_no_such_plugin(registries: Registries):
    with pytest.raises(ConfigError, match=r"no plugin is called 'jds'\. Did you mean 'jsd'\?"):
        plugin_options(registries, "jds")
    with pytest.raises(ConfigError, match="no plugin is called 'hf'"):
        plugin_options(registries, "hf", "verifier")
