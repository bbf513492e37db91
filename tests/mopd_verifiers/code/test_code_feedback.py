from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.code.failures import raised
from mopd_verifiers.code.feedback import cut, worded
from mopd_verifiers.code.grade import Failure, Grade
from mopd_verifiers.sandbox.program import Limits

LIMITS = Limits(memory_mb=256)
WRONG = Failure(
    "the output is wrong", told=(("Input", "1 2"), ("Expected output", "3"), ("Output", "4")), test=2, public=False
)


def test_a_wrong_result_is_shown_with_what_was_expected():
    assert worded(Grade(1, 5, WRONG, stopped=True), "all", 1000) == (
        "Test 2 of 5 failed: the output is wrong. The 1 before it passed.\nInput:\n1 2\nExpected output:\n3\nOutput:\n4"
    )


def test_a_fraction_says_how_many():
    assert worded(Grade(3, 5, WRONG), "all", 1000).startswith(
        "3 of 5 tests passed. Test 2 failed: the output is wrong."
    )


@pytest.mark.parametrize(("show", "public", "shown"), [
    ("all", False, True), ("all", True, True), ("public", False, False),
    ("public", True, True), ("none", False, False), ("none", True, False),
])  # fmt: skip
def test_hidden_tests_are_not_shown(show, public, shown):
    failure = Failure(
        "it raised KeyError", ("line 1: f(x)",), (("Call", "f(77)"), ("Error", "KeyError: 77")), 1, public
    )
    feedback = worded(Grade(0, 1, failure), show, 1000)
    assert ("77" in feedback) is shown
    assert "it raised KeyError" in feedback
    assert "line 1: f(x)" in feedback


def test_a_program_that_cannot_be_tested_says_why():
    failure = Failure("it raised NameError", told=(("Error", "NameError: the program has no function 'f'"),))
    assert "has no function 'f'" in worded(Grade(0, 3, failure), "none", 1000)


@given(st.text(max_size=3000), st.text(max_size=3000), st.text(max_size=3000), st.integers(200, 4000))
def test_feedback_keeps_to_its_budget(trace, first, second, budget):
    failure = Failure("it failed", (trace,), (("Input", first), ("Error", second)), 1)
    assert len(worded(Grade(0, 1, failure), "all", budget)) <= budget


def test_short_texts_stay_whole_beside_a_long_one():
    failure = Failure(
        "the output is wrong", told=(("Input", "x" * 99_999), ("Expected output", "3" * 150), ("Output", "4")), test=1
    )
    feedback = worded(Grade(0, 1, failure), "all", 600)
    assert "Expected output:\n" + "3" * 150 + "\nOutput:\n4" in feedback
    assert "x" * 100 in feedback
    assert "[...]" in feedback


@given(st.text(), st.integers(0, 50))
def test_cutting(text, limit):
    assert len(cut(text, limit)) <= limit
    assert len(text) > limit or cut(text, limit) == text


SYNTAX = '  File "solution.py", line 2\n    def broken(:\n               ^\nSyntaxError: invalid syntax\n'
DEEP = (
    "Traceback (most recent call last):\n"
    '  File "solution.py", line 4, in <module>\n    f(0)\n'
    '  File "solution.py", line 2, in f\n    return f(n + 1)\n           ^^^^^^^^\n'
    "  [Previous line repeated 995 more times]\n"
    "RecursionError: maximum recursion depth exceeded\n"
)
MANY_LINES = (
    "Traceback (most recent call last):\n"
    '  File "solution.py", line 1, in <module>\n    raise ValueError(text)\n'
    "ValueError: one\ntwo: three\n"
)
CUSTOM = 'Traceback (most recent call last):\n  File "solution.py", line 5, in <module>\n    main()\n__main__.Wrong\n'
IN_LIBRARY = (
    "Traceback (most recent call last):\n"
    '  File "solution.py", line 1, in <module>\n    json.loads("")\n'
    '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    raise JSONDecodeError("x")\n'
    "json.decoder.JSONDecodeError: Expecting value: line 1\n"
)


@pytest.mark.parametrize(
    ("trace", "what", "lines", "error"),
    [
        (SYNTAX, "the program does not compile (SyntaxError: invalid syntax)", ("line 2: def broken(:",), None),
        (DEEP, "it raised RecursionError", ("line 4: f(0)", "line 2, in f: return f(n + 1)"),
         "RecursionError: maximum recursion depth exceeded"),
        (MANY_LINES, "it raised ValueError", ("line 1: raise ValueError(text)",), "ValueError: one\ntwo: three"),
        (CUSTOM, "it raised __main__.Wrong", ("line 5: main()",), None),
        (IN_LIBRARY, "it raised json.decoder.JSONDecodeError", ('line 1: json.loads("")',),
         "json.decoder.JSONDecodeError: Expecting value: line 1"),
        ("MemoryError", "it needed more than 256 MiB of memory", (), None),
        ("MemoryError; and printing it: MemoryError\n", "it needed more than 256 MiB of memory", (), None),
    ],
)  # fmt: skip
def test_tracebacks(trace, what, lines, error):
    failure = raised(trace, LIMITS)
    assert (failure.what, failure.trace) == (what, lines)
    assert failure.told == ((("Error", error),) if error else ())


@pytest.mark.parametrize("text", ["", "\n", "just words, and more", "  File", "1 + 1", "Error: no solution"])
def test_text_that_is_no_traceback(text):
    assert raised(text, LIMITS) is None


@given(st.lists(st.sampled_from([*SYNTAX.splitlines(True), *DEEP.splitlines(True), "x", " ", "\n", ": "]), max_size=20))
def test_any_text_is_read(parts):
    failure = raised("".join(parts), LIMITS)
    assert failure is None or len(failure.trace) <= 5


@pytest.mark.parametrize("text", ['  File "' * 2500, "    x\n" * 3000, "a: " * 6000, "a.b" * 6000, "Error\n" * 3000])
def test_odd_tracebacks_take_no_time(text):
    raised(f'  File "solution.py", line 1\n{text}', LIMITS)
    raised(text, LIMITS)
