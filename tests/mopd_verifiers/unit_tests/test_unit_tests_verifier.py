"""The conformance suite, references, and what becomes of each way in which a run can end."""

from __future__ import annotations

import json

import pytest

from mopd_core.errors import DataError
from mopd_core.testing.verifiers import VerifierSuite
from mopd_core.types import VerifyItem
from mopd_verifiers.sandbox.program import Result
from mopd_verifiers.unit_tests.config import UnitTestsConfig
from mopd_verifiers.unit_tests.verifier import UnitTestsVerifier, build

TESTS = "from solution import double\ndef test_two(): assert double(2) == 4\ndef test_five(): assert double(5) == 10\n"
REFERENCE = {"module": "solution", "files": {"test_solution.py": TESTS}, "n_tests": 2}
RIGHT = "```python\ndef double(n):\n    return 2 * n\n```"
HALF = "```python\ndef double(n):\n    return n * n\n```"


def make():
    return build(UnitTestsConfig(workers=2), None)


@pytest.fixture(scope="module")
def own_verifier():
    return make()


class TestUnitTestsSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self, own_verifier):
        return own_verifier

    @pytest.fixture
    def new_verifier(self):
        return make

    @pytest.fixture
    def passing(self):
        return [VerifyItem(RIGHT, REFERENCE), VerifyItem(RIGHT, json.dumps(REFERENCE))]

    @pytest.fixture
    def failing(self):
        return [VerifyItem(HALF, REFERENCE), VerifyItem("```python\nx = 1\n```", REFERENCE), VerifyItem("4", REFERENCE)]

    @pytest.fixture
    def bad_references(self):
        return [VerifyItem(RIGHT, reference) for reference in BAD]


def changed(**fields):
    return {**REFERENCE, **fields}


BAD = [
    None,
    5,
    "no JSON",
    [],
    {},
    changed(n_tests=0),
    changed(n_tests="2"),
    changed(n_tests=None),
    changed(files={}),
    changed(files={"test_solution.py": "def broken(:"}),
    changed(files={"notes.txt": "no tests"}),
    changed(files={"conftest.py": ""}),
    changed(files={"../test_x.py": ""}),
    changed(files={"/test_x.py": ""}),
    changed(files={"test_x.py": 5}),
    changed(files={"test_x.py": "", "solution.py": ""}),
    changed(module=""),
    changed(module="a b"),
    changed(module="json"),
    changed(module="pytest.x"),
    changed(module=[]),
    changed(timeout_s=0),
    changed(memory_mb=-1),
    changed(in_process=True),
    changed(misspelt=1),
]


@pytest.mark.parametrize("reference", BAD, ids=range(len(BAD)))
def test_a_bad_reference_says_what_to_do(own_verifier, reference):
    with pytest.raises(DataError, match=r"prompt 'p-9'.*(Repair the row|allow_in_process)"):
        own_verifier.check([VerifyItem("", reference, prompt_id="p-9")])


@pytest.mark.parametrize(
    ("tests", "n_tests", "why"),
    [
        (TESTS, 3, "2 of 3"),
        (TESTS, 1, "1 were to pass"),
        ("import solution", 1, "0 of 1"),
        ("import pytest\npytest.skip('x', allow_module_level=True)", 1, "0 of 1"),
        (TESTS + "import pytest\ndef test_skipped(): pytest.skip()\n", 3, "2 of 3"),
        (TESTS + "import pytest\n@pytest.mark.xfail\ndef test_odd(): assert 0\n", 3, "2 of 3"),
        (TESTS + "def test_error(nothing): pass\n", 2, "FixtureLookupError: ('nothing'"),
        (TESTS + "import os\ndef test_exit(): os._exit(0)\n", 2, "early end during test_solution.py::test_exit"),
        ("import no_such_module", 1, "No module named 'no_such_module'"),
        ("import sys\nsys.exit(0)", 1, "0 of 1"),
    ],
)
def test_the_count_has_to_be_right(judge, tests, n_tests, why):
    verdict = judge("def double(n): return 2 * n", tests, n_tests)
    assert (verdict.status, verdict.reward) == ("failed", 0.0)
    assert why in verdict.feedback


def test_a_fraction_of_the_tests(judge):
    verdict = judge("def double(n): return n * n", TESTS, 2, reward="fraction")
    assert (verdict.status, verdict.reward) == ("failed", 0.5)
    assert judge("def double(n): return 2 * n", TESTS, 2, reward="fraction").reward == 1.0
    assert judge("def double(n): return 2 * n", TESTS, 1, reward="fraction").reward == 0.0


def test_feedback_tells_the_first_failure(judge):
    verdict = judge("def double(n):\n    if n > 4:\n        raise ValueError('big')\n    return 0", TESTS, 2)
    assert verdict.feedback == (
        "0 of 2 tests passed. The first that failed is test_solution.py::test_two:\n"
        "AssertionError: assert 0 == 4\n +  where 0 = double(2)"
    )
    verdict = judge("def double(n):\n    if n > 4:\n        raise ValueError('big')\n    return 4", TESTS, 2)
    assert "ValueError: big\nIn the program:\nsolution.py:3 in double: raise ValueError('big')" in verdict.feedback


def test_feedback_hides_the_tests(judge):
    verdict = judge("def double(n): return 'secret' + n", TESTS, 2, show_tests=False)
    assert verdict.feedback == "0 of 2 tests passed. What went wrong: TypeError (2)."
    verdict = judge("import time\ndef double(n): time.sleep(9)", TESTS, 2, show_tests=False, test_timeout_s=0.5)
    assert "Time ran out" in verdict.feedback
    assert "test_" not in verdict.feedback


def test_a_timeout_names_the_test_that_ran(judge):
    source = "import time\ndef double(n):\n    time.sleep(n > 4 and 60)\n    return 2 * n"
    verdict = judge(source, TESTS, 2, test_timeout_s=1.0, reward="fraction")
    assert (verdict.status, verdict.reward) == ("failed", 0.5)
    assert "Time ran out during test_solution.py::test_five" in verdict.feedback
    assert judge(source, TESTS, 2, reference={"timeout_s": 1.0}).status == "failed"


CALLBACK = "from solution import apply\ndef test_it(): assert apply(lambda n: n + 1, 2) == 3"
APPLY = "def apply(f, n): return f(n)"


def test_tests_that_pass_callbacks_are_unknown_until_they_opt_in(judge):
    verdict = judge(APPLY, CALLBACK, 1)
    assert (verdict.status, verdict.reward) == ("unknown", 0.0)
    assert "a function" in verdict.feedback
    assert "in_process" in verdict.feedback
    options = {"allow_in_process": True, "reference": {"in_process": True}}
    verdict = judge(APPLY, CALLBACK, 1, **options)
    assert verdict.status == "passed"
    assert verdict.caveats[-1] == "tests and candidate in one process"
    assert judge("def apply(f, n): return n", CALLBACK, 1, **options).status == "failed"


def test_an_object_that_asks_for_a_callback_does_not_make_it_unknown(judge):
    tests = "from solution import numbers\ndef test_it(): assert sorted(numbers(), key=lambda n: -n) == [2, 1]\n"
    tests += "def test_own():\n    found = numbers()\n    found.sort(key=lambda n: -n)\n    assert found == [2, 1]"
    assert judge("def numbers(): return [1, 2]", tests, 2).status == "passed"
    cheat = "class Odd:\n  def sort(self, key): pass\ndef numbers(): return Odd()"
    assert judge(cheat, tests, 2).status == "failed"


def test_classes_that_are_listed(judge):
    source = "class money(int): pass\ndef pay(n): return money(n)"
    tests = "import solution\ndef test_it(): assert solution.money(1) == 1 and solution.pay(2) == 2"
    assert judge(source, tests, 1).status == "failed"
    assert judge(source, tests, 1, reference={"classes": ["money"]}).status == "passed"


class Scripted:
    """A runner that gives what it is told to."""

    caveats = ("sandbox without landlock",)

    def __init__(self, *results):
        self.results = results

    def run_pair(self, first, second, limits):
        return self.results

    def close(self):
        pass


def line(*said):
    return json.dumps(said).encode()


PASSED = (line("end", "t", "passed", "", "", ""), line("end", "u", "passed", "", "", ""), line("done", "", ""))


@pytest.mark.parametrize(
    ("tests", "candidate", "status"),
    [
        (Result("ok", report=PASSED), Result("stopped"), "passed"),
        (Result("ok", report=PASSED), Result("error", exit_code=3), "passed"),
        (Result("error", report=PASSED), Result("stopped"), "failed"),
        (Result("timeout", report=PASSED), Result("stopped"), "failed"),
        (Result("ok", report=PASSED[:2]), Result("stopped"), "failed"),
        (Result("ok", report=PASSED[1:]), Result("stopped"), "failed"),
        (Result("ok", report=(*PASSED[:2], line("done", "it died", ""))), Result("crashed"), "failed"),
        (Result("ok", report=(*PASSED[:2], line("done", "", "a function"))), Result("ok"), "unknown"),
        (Result("ok", report=(line("end", "s", "error", "E", "m", ""), *PASSED)), Result("ok"), "failed"),
        (Result("ok", report=(b"{", *PASSED)), Result("ok"), "failed"),
        (Result("ok", report=(*PASSED, line("more"))), Result("ok"), "failed"),
        (Result("unknown", reason="no worker"), Result("ok"), "unknown"),
        (Result("ok", report=PASSED), Result("unknown", reason="no worker"), "unknown"),
    ],
)
def test_verdicts_from_results(tests, candidate, status):
    verifier = UnitTestsVerifier(UnitTestsConfig(workers=1), Scripted(tests, candidate))
    (verdict,) = verifier.verify([VerifyItem(RIGHT, REFERENCE)])
    assert verdict.status == status
    assert verdict.caveats == ("sandbox without landlock",)
    assert (verdict.reward > 0) == (status == "passed")
