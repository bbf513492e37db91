"""The public names, and those of the public modules: their signatures are pinned, and docs/api.md lists them."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Literal, TypeVar, get_origin, is_typeddict

import pytest

import mopd_core
from mopd_core.testing.suite import ConformanceSuite

PINNED = Path(__file__).with_name("public_api.txt")
PAGE = Path(__file__).parents[1] / "docs" / "api.md"
GUIDE = PAGE.with_name("plugins.md")
SUITES = "mopd_core.testing"
OURS = ("mopd_core", "mopd_verifiers", "mopd_backends")
ROOT = Path(__file__).parents[1]
PLUGINS = ROOT / "plugins"
TEMPLATES = ROOT / "mopd_core" / "scaffold" / "templates"


def table(heading: str) -> list[list[list[str]]]:
    """What the two columns of a table of the page name, row by row."""
    text = PAGE.read_text(encoding="utf-8")
    rows = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[re.findall(r"`([\w.]+)`", cell) for cell in row.split("|")[1:3]] for row in rows]


def exported(module: ModuleType) -> list[str]:
    """The names of a module's own that have no underscore, or `__all__`."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    names: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
    return sorted(name for name in names if not name.startswith("_") and not isinstance(getattr(module, name), TypeVar))


def modules() -> dict[str, list[str]]:
    """The public modules and what is public in each: what its row names, or else all of it; the suites come last."""
    found = {}
    for names, said in table("| Module |"):
        for name in names:
            if name != SUITES:
                own = exported(import_module(name))
                found[name] = sorted({*own} & {*said}) or own
    suites = sorted(found.name for found in iter_modules(import_module(SUITES).__path__, f"{SUITES}."))
    return found | {name: exported(import_module(name)) for name in suites}


def signature(name: str, value: object) -> str:
    """Without the strings of quoted annotations, which differ between versions of Python."""
    return f"{name}{inspect.signature(value)}".replace("'", "")  # type: ignore[arg-type]


def is_ours(member: object) -> bool:
    function = member.fget if isinstance(member, property) else inspect.unwrap(member)  # type: ignore[arg-type]
    is_callable = inspect.isfunction(function) or inspect.ismethod(function)
    return is_callable and str(function.__module__).split(".")[0] in OURS


def suite_lines(name: str, value: type) -> list[str]:
    """What a subclass may set, then the fixtures that it gives and the checks that it may leave out by name."""
    own = {each: member for each, member in vars(value).items() if not each.startswith("_")}
    settings = [each for each, member in own.items() if not callable(member) and not isinstance(member, classmethod)]
    # A fixture is a function or an object around one, which depends on the version of pytest.
    methods = [signature(f"{name}.{each}", inspect.unwrap(own[each])) for each in own if is_ours(own[each])]
    return [name, *(f"{name}.{each}" for each in sorted(settings)), *sorted(methods)]


def class_lines(name: str, value: type) -> list[str]:
    """How it is made, or what an error derives from; fields of configs and protocols; methods and properties."""
    if is_typeddict(value):
        return [f"{name}({', '.join(value.__annotations__)})"]
    if issubclass(value, ConformanceSuite):
        return suite_lines(name, value)
    if issubclass(value, Exception):
        return [f"{name}({', '.join(base.__name__ for base in value.__bases__)})"]
    if "__pydantic_fields__" in vars(value):
        lines = [name, *(f"{name}.{field}" for field in value.model_fields)]  # type: ignore[attr-defined]
    elif getattr(value, "_is_protocol", False):
        lines = [name, *(f"{name}.{field}" for field in inspect.get_annotations(value))]
    else:
        lines = [signature(name, value)]
    lines += [
        f"{name}.{each}" if isinstance(member, property) else signature(f"{name}.{each}", member)
        for each, member in inspect.getmembers(value, is_ours)
        if not each.startswith("_") or each == "__call__"
    ]
    return lines


def lines_of(module: ModuleType, names: Iterable[str]) -> list[str]:
    lines = []
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) and value.__module__.split(".")[0] in OURS:
            lines += class_lines(name, value)
        elif inspect.isfunction(value) and is_ours(value):
            lines.append(signature(name, value))
        else:
            lines.append(f"{name} = {value}" if get_origin(value) is Literal else name)
    return lines


def described() -> str:
    parts = [lines_of(mopd_core, mopd_core.__all__)]
    for name, names in modules().items():
        known = [each for each in names if each not in mopd_core.__all__]
        if known:
            parts.append([f"# {name}", *lines_of(import_module(name), known)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def test_signatures_are_as_pinned(tmp_path: Path) -> None:
    found = tmp_path / PINNED.name
    found.write_text(described(), encoding="utf-8")
    assert described() == PINNED.read_text(encoding="utf-8"), (
        f"a public signature changed. Where that is meant: follow docs/api.md, then copy {found} over {PINNED}"
    )


def test_the_page_lists_exactly_what_is_public() -> None:
    assert {name for names, _ in table("| Name |") for name in names} == set(mopd_core.__all__)


def test_plugins_and_their_guide_import_what_is_public_alone() -> None:
    public = {f"{module}.{name}" for module, names in modules().items() for name in names}
    public |= {f"mopd_core.{name}" for name in mopd_core.__all__}
    sources = [*sorted(PLUGINS.glob("*/mopd_*/**/*.py")), *sorted(TEMPLATES.glob("*/*.py.jinja")), GUIDE]
    for file in sources:
        code = re.sub(r"{{.*?}}", "", file.read_text(encoding="utf-8"))
        imports = re.findall(r"^\s*from (\S+) import (\([^)]+\)|.+)", code, re.MULTILINE)
        imported = {f"{module}.{name}" for module, names in imports for name in re.findall(r"\w+", names)}
        own = {name for name in imported if name.split(".")[0] in OURS}
        assert own <= public, f"{file.relative_to(ROOT)} imports {', '.join(sorted(own - public))}"


def test_the_package_is_light_and_needs_no_backend() -> None:
    code = (
        "import sys, mopd_core\n"
        "assert 'torch' not in sys.modules\n"
        "[getattr(mopd_core, name) for name in mopd_core.__all__]\n"
        "assert not {'mopd_backends', 'mopd_verifiers', 'cli'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = mopd_core.Nothing
