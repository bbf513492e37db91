"""YAML as configs are written in it: a key stands once in its mapping, and long texts stay readable."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Raises for a key that stands twice in a mapping; the first value would be lost silently."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML document; keys are texts. Raises `yaml.YAMLError`."""
    return yaml.load(text, Loader=_Loader)


def write_yaml(tree: Any) -> str:
    """A tree as YAML, in its own order."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: set[Any] = set()
    for key, _ in node.value:
        if key.value in seen and key.value != "<<":
            raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands here twice", problem_mark=key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)
    return {str(key): value for key, value in loader.construct_mapping(node, deep=True).items()}


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Dumper.add_representer(str, _text)
