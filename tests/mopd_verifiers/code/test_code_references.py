from __future__ import annotations

import base64
import contextlib
import json
import pickle
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_core.errors import DataError
from mopd_core.types import VerifyItem
from mopd_verifiers.code import livecodebench
from mopd_verifiers.code.livecodebench import published_tests, unpacked
from mopd_verifiers.code.problems import (
    CallTest,
    FunctionProblem,
    HumanEvalProblem,
    OwnLimits,
    StdinProblem,
    StdinTest,
)
from mopd_verifiers.code.references import read_problem


def read(reference):
    return read_problem(VerifyItem("", reference, prompt_id="p-1"))


STDIN = {"kind": "stdin", "tests": [{"input": "1\n", "output": "2\n"}]}
FUNCTION = {"kind": "function", "entry_point": "f", "tests": [{"args": [1], "expected": 2}]}
HUMANEVAL = {"kind": "humaneval", "prompt": "def f(x):\n", "entry_point": "f", "test": "def check(candidate): ..."}


def case(given: str, output: str, testtype: str = "stdin") -> dict[str, str]:
    return {"input": given, "output": output, "testtype": testtype}


def packed(value, protocol: int = 2) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(value), protocol))).decode()


def livecode(public, private="", **columns):
    return {
        "kind": "livecodebench",
        "public_test_cases": public if isinstance(public, str) else json.dumps(public),
        "private_test_cases": private,
        "starter_code": "",
        "metadata": "{}",
        **columns,
    }


def test_stdin():
    assert read(STDIN) == StdinProblem((StdinTest("1\n", "2\n"),), OwnLimits())


def test_own_limits_and_public_tests():
    tests = [{"input": "", "output": "", "public": True}]
    problem = read({"kind": "stdin", "tests": tests, "timeout_s": 2, "memory_mb": 64})
    assert problem == StdinProblem((StdinTest("", "", public=True),), OwnLimits(2.0, 64))


def test_function():
    tests = [{"args": [1, "x"], "kwargs": {"k": None}, "expected": (1, {2: 3})}, {"expected": None}]
    problem = read({**FUNCTION, "tests": tests})
    assert problem == FunctionProblem(
        "f", (CallTest('[[1, "x"], {"k": null}]', [1, {"2": 3}]), CallTest("[[], {}]", None)), OwnLimits()
    )
    assert problem.tests[0].shown("f") == "f(1, 'x', k=None)"


def test_humaneval_with_its_other_columns():
    problem = read({**HUMANEVAL, "task_id": "HumanEval/0", "canonical_solution": "    return x\n"})
    assert problem == HumanEvalProblem("def f(x):\n", "f", "def check(candidate): ...", OwnLimits())


@pytest.mark.parametrize("reference", [STDIN, FUNCTION, HUMANEVAL])
def test_json_text_is_the_same(reference):
    assert read(json.dumps(reference)) == read(reference)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_livecodebench_stdin(protocol):
    problem = read(livecode([case("1", "2")], packed([case("3", "4"), case("é", "ü")], protocol)))
    assert problem == StdinProblem(
        (StdinTest("1", "2", public=True), StdinTest("3", "4"), StdinTest("é", "ü")), OwnLimits(), prelude=True
    )


def test_livecodebench_functional():
    cases = [case('[1, 2]\n"x"', "true", "functional")]
    problem = read(livecode(cases, json.dumps(cases), metadata='{"func_name": "solve"}'))
    assert problem == FunctionProblem(
        "solve",
        (CallTest('[[[1, 2], "x"], {}]', True, public=True), CallTest('[[[1, 2], "x"], {}]', True)),
        OwnLimits(),
        prelude=True,
    )


def test_livecodebench_with_its_other_columns_and_own_limits():
    problem = read(livecode([case("1", "2")], "[]", question_title="A", difficulty="easy", timeout_s=1.5))
    assert problem.own == OwnLimits(1.5)


BAD = {
    "nothing": None,
    "text": "the answer",
    "number": 7,
    "list": [STDIN],
    "empty": {},
    "no kind": {"tests": []},
    "unknown kind": {**STDIN, "kind": "stdio"},
    "no tests": {**STDIN, "tests": []},
    "no tests at all": {"kind": "stdin"},
    "misspelt limit": {**STDIN, "time_out_s": 1},
    "no time": {**STDIN, "timeout_s": 0},
    "endless time": {**STDIN, "timeout_s": float("inf")},
    "truth for a time": {**STDIN, "timeout_s": True},
    "no memory": {**STDIN, "memory_mb": 0},
    "number for text": {"kind": "stdin", "tests": [{"input": "", "output": 2}]},
    "no output": {"kind": "stdin", "tests": [{"input": ""}]},
    "no expected": {**FUNCTION, "tests": [{"args": [1]}]},
    "args no list": {**FUNCTION, "tests": [{"args": 1, "expected": 1}]},
    "no JSON": {**FUNCTION, "tests": [{"args": [b"x"], "expected": 1}]},
    "expected no JSON": {**FUNCTION, "tests": [{"args": [], "expected": {1, 2}}]},
    "code for a name": {**FUNCTION, "entry_point": "f()"},
    "no test source": {**HUMANEVAL, "test": None},
    "livecodebench without cases": livecode([]),
    "livecodebench without a name": livecode([case("1", "2", "functional")]),
    "livecodebench of both types": livecode(
        [case("1", "2", "functional"), case("1", "2")], metadata='{"func_name": "f"}'
    ),
    "livecodebench of another type": livecode([case("1", "2", "file")]),
    "livecodebench, input no JSON": livecode([case("x", "2", "functional")], metadata='{"func_name": "f"}'),
    "livecodebench, private no base64": livecode([case("1", "2")], "***"),
    "livecodebench, private no zlib": livecode([case("1", "2")], base64.b64encode(b"x" * 99).decode()),
    "livecodebench, private no pickle": livecode([case("1", "2")], base64.b64encode(zlib.compress(b"[]")).decode()),
    "livecodebench, private cut off": livecode([case("1", "2")], packed([case("1", "2")])[:40]),
}


@pytest.mark.parametrize("reference", BAD.values(), ids=BAD)
def test_a_bad_reference_names_its_prompt(reference):
    with pytest.raises(DataError, match=r"prompt 'p-1': the verifier `code` cannot read its reference: .") as caught:
        read(reference)
    assert len(str(caught.value)) < 1500


def test_the_error_says_which_field():
    with pytest.raises(DataError, match=r"its reference: tests\.0\.output: Field required"):
        read(BAD["no output"])


class Touches:
    """A pickle that creates a file where it is loaded."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: ["[]", it], lambda it: {"[]": it}, lambda it: (it, "[]")])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, protocol, wrap):
    canary = tmp_path / "canary"
    data = pickle.dumps(wrap(Touches(canary)), protocol)
    with pytest.raises(DataError, match="not just one string"):
        read(livecode([case("1", "2")], base64.b64encode(zlib.compress(data)).decode()))
    assert not canary.exists()


@pytest.mark.parametrize("data", [b"I1\n.", b"Vx\n", b"Vx\nVy\n.", b"Vx\n" + b"\x94" * 100 + b".", b"\x80\x02N.", b""])
def test_a_pickle_of_anything_else_is_refused(data):
    with pytest.raises(DataError):
        read(livecode([case("1", "2")], base64.b64encode(zlib.compress(data)).decode()))


def test_a_bomb_is_not_unpacked():
    column = packed("x" * 100_000)
    with pytest.raises(ValueError, match="more than 50000 bytes when unpacked"):
        unpacked(column, max_bytes=50_000)
    assert len(unpacked(column)) == 100_002


def test_what_was_decoded_is_kept_for_the_group():
    reference = livecode([case("1", "2")], packed([case("5", "6")]))
    before = published_tests.cache_info().hits
    for _ in range(8):
        read(reference)
    assert published_tests.cache_info().hits - before == 7
    assert livecodebench.published_tests.cache_info().maxsize == 8


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)
FIELDS = st.sampled_from(
    [
        "kind",
        "tests",
        "entry_point",
        "prompt",
        "test",
        "timeout_s",
        "public_test_cases",
        "private_test_cases",
        "metadata",
    ]
)
KINDS = st.sampled_from(["stdin", "function", "humaneval", "livecodebench"])


@given(JSON | st.dictionaries(FIELDS, JSON | KINDS, max_size=6) | st.text())
def test_any_reference_is_a_problem_or_a_data_error(reference):
    with contextlib.suppress(DataError):
        read(reference)


@given(st.binary(max_size=60))
def test_any_packed_bytes_are_text_or_an_error(data):
    with contextlib.suppress(ValueError):
        assert isinstance(unpacked(base64.b64encode(zlib.compress(data)).decode()), str)
