"""Reads references: one pydantic model a kind, in the form of the data, each with the problem that it stands for.

A new kind gets a model here, listed in `_Reference`, and a class in `problems`.
"""

from __future__ import annotations

import ast
import json
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mopd_core.errors import DataError
from mopd_core.types import Json, VerifyItem
from mopd_verifiers.code.livecodebench import published_tests
from mopd_verifiers.code.problems import (
    CallTest,
    FunctionProblem,
    HumanEvalProblem,
    OwnLimits,
    Problem,
    StdinProblem,
    StdinTest,
)

_MAX_ERRORS_SHOWN = 3
_MAX_REASON_CHARS = 600
_FORMS = (
    '{"kind": "stdin", "tests": [{"input": ..., "output": ...}]}, '
    '{"kind": "function", "entry_point": ..., "tests": [{"args": [...], "expected": ...}]}, '
    '{"kind": "humaneval", "prompt": ..., "entry_point": ..., "test": ...} or '
    '{"kind": "livecodebench", "public_test_cases": ..., "private_test_cases": ..., "metadata": ...}'
)

_Name = Annotated[str, Field(pattern=r"^[^\W\d]\w*$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Limited(_Model):
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    memory_mb: int | None = Field(default=None, ge=1)

    @property
    def own(self) -> OwnLimits:
        return OwnLimits(self.timeout_s, self.memory_mb)


class _StdinTest(_Model):
    input: str
    output: str
    public: bool = False


class _Stdin(_Limited):
    kind: Literal["stdin"]
    tests: list[_StdinTest] = Field(min_length=1)

    def problem(self) -> Problem:
        return StdinProblem(tuple(StdinTest(test.input, test.output, test.public) for test in self.tests), self.own)


class _FunctionTest(_Model):
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    expected: Any
    public: bool = False

    def test(self) -> CallTest:
        return CallTest(json.dumps([self.args, self.kwargs]), _as_json(self.expected), self.public)


class _Function(_Limited):
    kind: Literal["function"]
    entry_point: _Name
    tests: list[_FunctionTest] = Field(min_length=1)

    def problem(self) -> Problem:
        return FunctionProblem(self.entry_point, tuple(test.test() for test in self.tests), self.own)


class _HumanEval(_Limited):
    model_config = ConfigDict(extra="ignore")

    kind: Literal["humaneval"]
    prompt: str
    entry_point: _Name
    test: str

    def problem(self) -> Problem:
        """Raises `ValueError` and `SyntaxError` where the tests cannot be run."""
        problem = HumanEvalProblem(self.prompt, self.entry_point, self.test, self.own)
        tests = ast.parse(f"{problem.header}\n{self.test}")
        if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tests.body):
            raise ValueError("`test` defines no function `check`")
        return problem


class _LiveCodeBench(_Limited):
    model_config = ConfigDict(extra="ignore")

    kind: Literal["livecodebench"]
    public_test_cases: str
    private_test_cases: str = ""
    metadata: str = ""

    def problem(self) -> Problem:
        tests = published_tests(self.public_test_cases, self.private_test_cases)
        if not tests:
            raise ValueError("no test case in either column")
        if {type(test) for test in tests} == {StdinTest}:
            return StdinProblem(cast("tuple[StdinTest, ...]", tests), self.own, prelude=True)
        if {type(test) for test in tests} == {CallTest}:
            return FunctionProblem(self._function(), cast("tuple[CallTest, ...]", tests), self.own, prelude=True)
        raise ValueError("both stdin and functional test cases; one problem has one type")

    def _function(self) -> str:
        return _Metadata.model_validate_json(self.metadata or "{}").func_name


class _Metadata(BaseModel):
    func_name: _Name


_Reference: TypeAdapter[_Stdin | _Function | _HumanEval | _LiveCodeBench] = TypeAdapter(
    Annotated[_Stdin | _Function | _HumanEval | _LiveCodeBench, Field(discriminator="kind")]
)


def read_problem(item: VerifyItem) -> Problem:
    """The problem that an item's reference holds. Raises `DataError` naming the prompt where it holds none."""
    try:
        reference = json.loads(item.reference) if isinstance(item.reference, str) else item.reference
        return _Reference.validate_python(reference).problem()
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        reason = _spelled(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(
            f"prompt {item.prompt_id!r}: the verifier `code` cannot read its reference: "
            f"{reason[:_MAX_REASON_CHARS]}. It has to be {_FORMS}, or that as JSON text. "
            "Repair the row or its column mapping"
        ) from error


def _as_json(value: Any) -> Json:
    """The value as JSON would give it back: tuples are lists, and keys are text."""
    return json.loads(json.dumps(value))


def _spelled(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, one['loc'][1:])) or 'the reference'}: {one['msg']}" for one in found]
    return "; ".join([*shown[:_MAX_ERRORS_SHOWN], *(["and more"] if len(shown) > _MAX_ERRORS_SHOWN else [])])
