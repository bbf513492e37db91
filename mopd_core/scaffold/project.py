"""Makes the folder: checks what was asked for, renders every file, and only then writes."""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mopd_core import __version__
from mopd_core.errors import ConfigError
from mopd_core.registry import Registries, did_you_mean, name_fault
from mopd_core.scaffold.kinds import EXAMPLES, Example

LICENSES = ("MIT", "Apache-2.0")
LONGEST_NAME = 30
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "mopd-"
_FOLDERS = ("build", "dist", "runs", "tests")
"""Folders beside the package: its tests, and those that .gitignore leaves out, as a build then does too."""


@dataclass(frozen=True, slots=True)
class Project:
    """A plugin that is about to be made. name: of its distribution; the other names follow from it."""

    name: str
    example: Example
    author: str
    license: str

    @property
    def package(self) -> str:
        """What Python imports."""
        return self.name.replace("-", "_")

    @property
    def plugin(self) -> str:
        """What a config calls it."""
        return self.name.removeprefix(_PREFIX)


def plan_project(
    name: str, kind: str, registries: Registries, author: str | None = None, license_name: str = "MIT"
) -> Project:
    """The project of that name. Raises `ConfigError` where a name, kind, author or licence cannot be used.

    registries: what is installed; a name that is taken there is refused, since the plugin would be.
    """
    if kind not in EXAMPLES:
        raise ConfigError(
            f"there is no kind {kind!r} of plugins.{did_you_mean(kind, EXAMPLES)} Kinds: {', '.join(EXAMPLES)}"
        )
    if license_name not in LICENSES:
        raise ConfigError(
            f"--license is {license_name!r}; allowed: {', '.join(LICENSES)}. For another one, take either and replace "
            "LICENSE and `license` in pyproject.toml"
        )
    if author is not None and (not author.strip() or not author.isprintable()):
        raise ConfigError(f"--author is {author!r}; allowed: a name on one line")
    _check_name(name)
    project = Project(name, EXAMPLES[kind], author or f"The {name} authors", license_name)
    _check_is_free(project, registries)
    return project


def make_project(project: Project, folder: Path) -> list[Path]:
    """Write the project into a new folder; returns its files, relative to it. Raises `ConfigError` if it exists."""
    if folder.exists():
        raise ConfigError(f"{folder} exists already; name another place with --folder DIR, or remove it")
    rendered = dict(_files(project))
    for path, text in rendered.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return sorted(map(Path, rendered))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ConfigError(
            f"the name {name!r} cannot be used; allowed: small letters, digits and single hyphens, beginning with a "
            f"letter, at most {LONGEST_NAME} characters, such as mopd-nearest"
        )


def _check_is_free(project: Project, registries: Registries) -> None:
    package, plugin, noun = project.package, project.plugin, project.example.noun
    if fault := name_fault(plugin):
        raise ConfigError(
            f"the name {project.name!r} cannot be used, as the plugin would be called {plugin!r}: {fault}"
        )
    if package in _FOLDERS:
        raise ConfigError(
            f"the name {project.name!r} cannot be used: the folder {package!r} has another use there; choose another"
        )
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or find_spec(package) is not None:
        raise ConfigError(
            f"the name {project.name!r} cannot be used: Python has a module {package!r} here; choose another"
        )
    if any(True for _ in distributions(name=project.name)) or plugin in registries.sources:
        raise ConfigError(
            f"the name {project.name!r} cannot be used: a distribution or a plugin of that name is installed here; "
            "choose another"
        )
    taken = {entry.name: entry.source for entry in registries[f"{noun}s"]}
    if plugin in taken:
        raise ConfigError(
            f"the name {project.name!r} cannot be used: {taken[plugin]} has a {noun} {plugin!r}, and mopd refuses a "
            "second one; choose another name"
        )


def _files(project: Project) -> Iterator[tuple[str, str]]:
    """Paths in the project's folder, and what they hold."""
    environment = Environment(
        loader=PackageLoader("mopd_core.scaffold"),
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["toml"] = partial(json.dumps, ensure_ascii=False)  # A JSON string is one in TOML too.
    values: dict[str, Any] = {
        "name": project.name,
        "package": project.package,
        "plugin": project.plugin,
        "kind": project.example,
        "author": project.author,
        "license": project.license,
        "year": datetime.now(UTC).year,
        "mopd_version": __version__,
    }
    for path, template in _templates(project).items():
        yield path, environment.get_template(f"{template}.jinja").render(values).rstrip("\n") + "\n"
    yield f"{project.package}/py.typed", ""


def _templates(project: Project) -> dict[str, str]:
    """The template of every file."""
    package, noun = project.package, project.example.noun
    found = {
        ".github/workflows/ci.yml": "common/ci.yml",
        ".gitignore": "common/gitignore",
        "LICENSE": f"common/{project.license}",
        "README.md": "common/README.md",
        "pyproject.toml": "common/pyproject.toml",
        f"{package}/__init__.py": "common/init.py",
        f"{package}/config.py": f"{noun}/config.py",
        f"{package}/plugin.py": "common/plugin.py",
        f"{package}/{noun}.py": f"{noun}/implementation.py",
        f"tests/test_{package}.py": f"{noun}/suite.py",
    }
    return found | ({f"{package}/examples.csv": "dataset/examples.csv"} if noun == "dataset" else {})
