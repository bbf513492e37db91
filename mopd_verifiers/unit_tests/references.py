"""Reads references: hidden tests, and what they are to be run against."""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mopd_core.errors import DataError
from mopd_core.types import VerifyItem

_MAX_ERRORS_SHOWN = 3
_MAX_REASON_CHARS = 600
_FORM = '{"module": "solution", "files": {"test_solution.py": ...}, "n_tests": 4}'
_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.py")
_NO_TESTS = frozenset({"conftest.py", "__init__.py"})
_TAKEN = sys.stdlib_module_names | {"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "conftest"}
_WORD = re.compile(r"\w+")

_Module = Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")]


@dataclass(frozen=True, slots=True)
class Suite:
    """One problem. timeout_s, memory_mb: None for the config's. classes: None to go by the tests' own words."""

    modules: tuple[str, ...]
    files: dict[str, str]
    n_tests: int
    timeout_s: float | None
    memory_mb: int | None
    classes: tuple[str, ...] | None
    in_process: bool

    @property
    def tests(self) -> list[str]:
        """The files that pytest is given: those with a test file's name, or all of Python if there are none."""
        sources = [name for name in self.files if name.endswith(".py")]
        named = [name for name in sources if _TEST_FILE.fullmatch(PurePosixPath(name).name)]
        return named or [name for name in sources if PurePosixPath(name).name not in _NO_TESTS]

    @property
    def words(self) -> list[str]:
        """Every word of the tests' own text."""
        return sorted(
            {word for name, text in self.files.items() if name.endswith(".py") for word in _WORD.findall(text)}
        )


class _Reference(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["unit-tests"] = "unit-tests"
    module: _Module | Annotated[list[_Module], Field(min_length=1)]
    files: dict[str, str] = Field(min_length=1)
    n_tests: int = Field(ge=1)
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    memory_mb: int | None = Field(default=None, ge=1)
    classes: list[str] | None = None
    in_process: bool = False

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module,) if isinstance(self.module, str) else tuple(self.module)

    @model_validator(mode="after")
    def _check_names(self) -> _Reference:
        for module in self.modules:
            if module.partition(".")[0] in _TAKEN:
                raise ValueError(f"module {module!r} has the name of a module that the tests' interpreter has")
            if not self.files.keys().isdisjoint(module_files(module)):
                raise ValueError(f"module {module!r} is among the tests' own files")
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
                raise ValueError(f"file {name!r} is no relative path")
        return self

    def suite(self) -> Suite:
        """Raises `SyntaxError` and `ValueError` for tests that are no Python, or none."""
        classes = None if self.classes is None else tuple(self.classes)
        suite = Suite(self.modules, self.files, self.n_tests, self.timeout_s, self.memory_mb, classes, self.in_process)
        if not suite.tests:
            raise ValueError("no file of `files` holds tests (test_*.py)")
        for name, text in self.files.items():
            if name.endswith(".py"):
                ast.parse(text, name)
        return suite


def module_files(module: str) -> tuple[str, str]:
    """Where a module's source may lie: a file, or a package's."""
    base = module.replace(".", "/")
    return f"{base}.py", f"{base}/__init__.py"


def read_suite(item: VerifyItem, *, allow_in_process: bool) -> Suite:
    """The problem that an item's reference holds. Raises `DataError` naming the prompt where it holds none."""
    try:
        reference = json.loads(item.reference) if isinstance(item.reference, str) else item.reference
        suite = _Reference.model_validate(reference).suite()
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        reason = _spelled(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(
            f"prompt {item.prompt_id!r}: the verifier `unit-tests` cannot read its reference: "
            f"{reason[:_MAX_REASON_CHARS]}. It has to be {_FORM}, with timeout_s, memory_mb, classes and in_process "
            "where needed, or that as JSON text. Repair the row or its column mapping"
        ) from error
    if suite.in_process and not allow_in_process:
        raise DataError(
            f"prompt {item.prompt_id!r}: its reference asks for tests and response in one process (in_process), where "
            "the response can interfere with its tests. Set verifier.allow_in_process=true to accept that, or rewrite "
            "the tests so that they pass nothing but data"
        )
    return suite


def _spelled(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, one['loc'])) or 'the reference'}: {one['msg']}" for one in found]
    return "; ".join([*shown[:_MAX_ERRORS_SHOWN], *(["and more"] if len(shown) > _MAX_ERRORS_SHOWN else [])])
