"""From files and the command line to a validated `RunConfig`: defaults < file < choices < options.

`load_config` is the one way in. A new file format is a line in `_PARSERS`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from mopd_core.config.base import ConfigModel, PluginChoice
from mopd_core.config.checks import check
from mopd_core.config.compose import RunConfig, compose, compose_verifier
from mopd_core.config.explain import explain
from mopd_core.config.merge import Tree, choice_layer, default_layer, merge, option_layer
from mopd_core.config.yaml_text import parse_yaml
from mopd_core.errors import ConfigError, DataError
from mopd_core.registry import Registries, did_you_mean

ModelT = TypeVar("ModelT", bound=ConfigModel)

BUNDLED_RECIPE = Path(__file__).parents[1] / "bundled" / "default.yaml"

BUNDLED_RECIPES = {"code": BUNDLED_RECIPE.with_name("programs.yaml")}
"""Instead of `BUNDLED_RECIPE`, by the verifier that is chosen: with its tasks, and a model for them."""


def load_config(
    file: Path | None,
    registries: Registries,
    *,
    choices: Mapping[str, str | None] | None = None,
    options: Iterable[str] = (),
    stored: Tree | None = None,
) -> RunConfig:
    """The validated config of a run. Raises `ConfigError` that names every mistake, `PluginError` for a plugin's own.

    file: YAML, TOML or JSON; without one, `stored` (what a run to be resumed was made with), and without that the
    bundled recipe for the verifier that the other two choose. choices: plugin names by section. options: `path=value`
    texts.
    """
    composed = compose(registries)
    given = [choice_layer(choices or {}), option_layer(options)]
    base = read_tree(file) if file else stored if stored is not None else read_tree(_bundled_recipe(given, registries))
    config = validate(merge([default_layer(composed), base, *given], registries), composed, registries)
    check(config, registries)
    return config


def load_verifier(name: str, registries: Registries, options: Iterable[str] = ()) -> PluginChoice:
    """The options of one verifier, for judging without a run. options: `verifier.option=value` texts."""
    layers = [choice_layer({"verifier": name}), option_layer(options)]
    return validate(merge(layers, registries), compose_verifier(registries), registries).verifier


def load_routed(name: str, prompt_id: str, registries: Registries) -> PluginChoice:
    """The default options of a verifier that a prompt names.

    Raises `DataError` where it is not installed, `ConfigError` where it has options without a default.
    """
    installed = registries["verifiers"].names()
    if name not in installed:
        raise DataError(
            f"prompt {prompt_id!r} names the verifier {name!r}, which is not installed; installed: "
            f"{', '.join(installed) or 'none'}.{did_you_mean(name, installed)} "
            "Repair the row, or install the plugin that registers it"
        )
    try:
        return load_verifier(name, registries)
    except ConfigError as error:
        raise ConfigError(
            f"prompt {prompt_id!r} names the verifier {name!r}, which cannot be used without options: choose it as "
            f"`verifier`, or list it with its options in `routed_verifiers`. As it is: {error}"
        ) from None


def validate(tree: Tree, composed: type[ModelT], registries: Registries) -> ModelT:
    """The config that a merged tree describes. Raises `ConfigError` for an unknown plugin or any bad option."""
    try:
        return composed.model_validate(tree)
    except ValidationError as error:
        raise explain(error, tree, composed, registries) from None


def read_tree(file: Path) -> dict[str, Any]:
    """A config file as a plain tree; a section with nothing in it counts as absent. Raises `ConfigError`."""
    if file.suffix not in _PARSERS:
        raise ConfigError(f"config file {file} has the suffix {file.suffix!r}; allowed: {', '.join(_PARSERS)}")
    try:
        tree = _PARSERS[file.suffix](file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config file {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"config file {file} cannot be parsed: {_syntax(error)}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"config file {file} holds {_what(tree)}; it has to hold a mapping of sections")
    return {key: value for key, value in tree.items() if value is not None}


def _bundled_recipe(given: Sequence[Tree], registries: Registries) -> Path:
    verifier = merge(given, registries).get("verifier", {})
    return BUNDLED_RECIPES.get(str(verifier.get("name")), BUNDLED_RECIPE)


def _syntax(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{error.problem} (line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1})"
    return " ".join(str(error).split())


def _what(tree: object) -> str:
    return "nothing" if tree is None else f"a {type(tree).__name__}"


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".toml": tomllib.loads,
    ".json": json.loads,
}
