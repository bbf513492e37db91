from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_core.bundled.families import FAMILIES
from mopd_core.bundled.programs import INPUTS, KINDS, Clause, ProgramProblem, read_program
from mopd_core.bundled.statements import Statement, outputs
from mopd_core.types import VerifyItem
from mopd_verifiers.code.config import CodeConfig
from mopd_verifiers.code.verifier import build

ADD, _, MULTIPLY, RAISE, LOWER, *_ = KINDS
IF_ABOVE, EVEN_ELSE, EACH, DOUBLE = KINDS[-4:]
BY_HAND = ProgramProblem((Clause(ADD, 3, 0), Clause(IF_ABOVE, 5, 2), Clause(EACH, 4, 0)))
BY_HAND_TEXT = """\
```python
x = int(input())
# first add 3
x += 3
# second if above 5, subtract 2
if x > 5:
    x -= 2
# third add each number from 1 to 4
for i in range(1, 5):
    x += i
print(x)
```"""


def right_inputs(problem, statements):
    expected = outputs(problem.right, INPUTS)
    return [x for x, one, other in zip(INPUTS, outputs(statements, INPUTS), expected, strict=True) if one == other]


def one_mistake(problem):
    """Every program with exactly one of the mistakes that its clauses may have."""
    for place, clause in enumerate(problem.clauses):
        for mistake in clause.mistakes:
            yield (*problem.right[:place], mistake, *problem.right[place + 1 :])


def test_the_question_says_everything():
    assert BY_HAND.question == (
        "Write a Python program: read a whole number; first add 3; second if above 5, subtract 2; "
        "third add each number from 1 to 4; print it."
    )


def test_a_right_solution_is_a_fenced_program():
    assert BY_HAND.worked().text == BY_HAND_TEXT
    assert BY_HAND.solved_by(BY_HAND_TEXT)


def test_outputs_by_hand():
    assert outputs(BY_HAND.right, [2, 3, -3]) == [15, 14, 10]
    assert outputs((Clause(DOUBLE, 2, 3).right,), [1]) == [13]
    assert outputs((Clause(EVEN_ELSE, 2, 3).right,), [4, 5, -1]) == [6, 2, -4]


FORMS = {form.code: (form, kind) for kind in KINDS for form in (kind.right, *kind.wrong)}


@pytest.mark.parametrize(("form", "kind"), FORMS.values(), ids=FORMS)
def test_python_computes_what_a_form_says(form, kind):
    for a in kind.a:
        for b in kind.b:
            statement = Statement(form, a, b)
            code = compile(str(statement), "statement", "exec")
            for x in INPUTS:
                names = {"x": x}
                exec(code, names)
                assert names["x"] == statement.run(x)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.words for kind in KINDS])
def test_a_mistake_is_another_statement_than_the_right_one(kind):
    for a in kind.a:
        for b in kind.b:
            clause = Clause(kind, a, b)
            assert str(clause.right) not in map(str, clause.mistakes)
            assert clause.confusion in (None, *clause.mistakes)


def test_tests_catch_every_program_with_one_mistake_that_is_wrong_for_any_input():
    caught = 0
    for problem in FAMILIES["programs"].problems("train", 100, 0):
        tests = set(problem.test_inputs())
        assert 3 <= len(tests) <= 8
        for program in one_mistake(problem):
            right = right_inputs(problem, program)
            assert tests <= set(right) if len(right) == len(INPUTS) else not tests <= set(right)
            caught += len(right) < len(INPUTS)
    assert caught > 1000


def test_the_reference_holds_the_tests_as_text():
    tests = BY_HAND.reference["tests"]
    assert BY_HAND.reference["kind"] == "stdin"
    assert [int(test["input"]) for test in tests] == list(BY_HAND.test_inputs())
    assert [int(test["output"]) for test in tests] == outputs(BY_HAND.right, BY_HAND.test_inputs())
    assert all(test["input"].endswith("\n") and test["output"].endswith("\n") for test in tests)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), error_rate=st.floats(0, 1))
def test_a_solution_is_read_back_as_it_was_written(seed, error_rate):
    rng = Random(seed)
    problem = FAMILIES["programs"].draw(rng)
    solution = problem.worked(rng, error_rate)
    statements = tuple(step.statement for step in solution.steps)
    assert outputs(read_program(solution.text), INPUTS) == outputs(statements, INPUTS)
    assert problem.solved_by(solution.text) == (len(right_inputs(problem, statements)) == len(INPUTS))


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_wrong_statements_and_nothing_else_are_found_in_the_text(seed):
    rng = Random(seed)
    solution = FAMILIES["programs"].draw(rng).worked(rng, 0.3)
    kept = "".join(character for end, character in enumerate(solution.text, 1) if end not in solution.wrong_ends)
    lines = ["```python", "x = int(input())"]
    for ordinal, step in zip(("first", "second", "third", "fourth", "fifth"), solution.steps, strict=False):
        lines += [f"# {ordinal} {step.clause}", str(step.statement) if step.is_right else ""]
    assert kept == "\n".join([*lines, "print(x)", "```"])


@pytest.mark.parametrize(
    "text",
    [
        BY_HAND_TEXT.replace("```python", "```"),
        BY_HAND_TEXT.replace("x += 3", "x = x + 3"),
        BY_HAND_TEXT.replace("    x -= 2", "x -= 2"),
        BY_HAND_TEXT.replace("print(x)", "print(x, x)"),
        f"Sure!\n{BY_HAND_TEXT}",
        "",
    ],
    ids=["no language", "unknown statement", "no indent", "another end", "prose", "empty"],
)
def test_other_texts_are_no_known_program(text):
    assert read_program(text) is None
    assert not BY_HAND.solved_by(text)


def test_another_program_that_computes_the_same_is_right():
    problem = ProgramProblem((Clause(RAISE, 3, 0), Clause(LOWER, 8, 0), Clause(MULTIPLY, 2, 0)))
    assert problem.solved_by(
        "```python\nx = int(input())\nx = min(x, 8)\nx = max(x, 3)\n# twice\nx *= 2\nprint(x)\n```"
    )


def test_the_verifier_says_the_same_from_running_them():
    """Eight right and eight wrong programs in the sandbox."""
    rng = Random(0)
    items, wanted = [], {True: 8, False: 8}
    for problem in FAMILIES["programs"].problems("held_out", 50, 0):
        text = problem.worked(rng, 0.15).text
        right = problem.solved_by(text)
        if wanted[right]:
            wanted[right] -= 1
            items.append((right, VerifyItem(text, problem.reference, problem.question)))
    verifier = build(CodeConfig(workers=2), None)
    try:
        verdicts = verifier.verify([item for _, item in items])
    finally:
        verifier.close()
    assert [verdict.status for verdict in verdicts] == ["passed" if right else "failed" for right, _ in items]


def test_a_fifth_of_all_clauses_has_a_confusion_and_goes_wrong_five_times_as_often():
    rng = Random(0)
    problems = FAMILIES["programs"].problems("train", 1000, 0)
    steps = [step for problem in problems for step in problem.worked(rng, 0.1).steps]
    confused = [step for step in steps if step.clause.confusion is not None]
    plain = [step for step in steps if step.clause.confusion is None]
    assert len(confused) / len(steps) == pytest.approx(0.2, abs=0.05)
    assert sum(not step.is_right for step in confused) / len(confused) == pytest.approx(0.5, abs=0.05)
    assert sum(not step.is_right for step in plain) / len(plain) == pytest.approx(0.1, abs=0.02)
    assert all(step.statement == step.clause.confusion for step in confused if not step.is_right)


def test_problems_have_three_to_five_clauses_of_different_kinds_and_no_constant_result():
    problems = FAMILIES["programs"].problems("train", 200, 0)
    assert {len(problem.clauses) for problem in problems} == {3, 4, 5}
    assert {clause.kind for problem in problems for clause in problem.clauses} == set(KINDS)
    assert all(len({clause.kind for clause in problem.clauses}) == len(problem.clauses) for problem in problems)
    assert all(len(set(outputs(problem.right, INPUTS))) >= 6 for problem in problems)
