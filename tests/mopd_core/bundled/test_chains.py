from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_core.bundled.chains import Chain, Operation, Step, WorkedChain, final_answer
from mopd_core.bundled.families import FAMILIES

WORKED_BY_HAND = Chain(7, (Operation("+", 5), Operation("*", 9), Operation("-", 9)))


def test_the_question_says_everything():
    assert WORKED_BY_HAND.question == "Work modulo 10. Start with 7, then: + 5, * 9, - 9. What is the result?"


def test_a_right_solution_is_worked_line_by_line_and_ends_in_a_box():
    assert WORKED_BY_HAND.worked().text == "7 + 5 = 2\n2 * 9 = 8\n8 - 9 = 9\nAnswer: \\boxed{9}"
    assert WORKED_BY_HAND.answer == "9"


@pytest.mark.parametrize(("symbol", "digit", "value", "result"), [("+", 9, 9, 8), ("-", 9, 0, 1), ("*", 7, 8, 6)])
def test_results_stay_single_digits(symbol, digit, value, result):
    assert Operation(symbol, digit).apply(value) == result


@pytest.mark.parametrize("family", ["chain", "chain-long"])
def test_the_answer_is_what_evaluating_the_question_gives(family):
    """Read the chain back from the question's text and evaluate it on whole numbers, reducing only at the end."""
    for problem in FAMILIES[family].problems("train", 50, seed=3):
        start, chain = problem.question.removeprefix("Work modulo 10. Start with ").split(", then: ")
        total = int(start)
        for symbol, digit in (item.split() for item in chain.removesuffix(". What is the result?").split(", ")):
            total = {"+": total + int(digit), "-": total - int(digit), "*": total * int(digit)}[symbol]
        assert problem.answer == str(total % 10)
        assert problem.worked().steps[-1].result == total % 10


@given(seed=st.integers(0, 10**6), error_rate=st.floats(0, 1))
def test_a_wrong_step_carries_on_with_the_right_operation(seed, error_rate):
    rng = Random(seed)
    problem = FAMILIES["chain"].draw(rng)
    solution = problem.worked(rng, error_rate)
    assert [step.operation for step in solution.steps] == list(problem.operations)
    assert [step.value for step in solution.steps] == [problem.start, *(step.result for step in solution.steps[:-1])]
    assert solution.answer == str(solution.steps[-1].result)


@given(st.integers(0, 10**6))
def test_one_wrong_step_always_ends_in_a_wrong_answer(seed):
    rng = Random(seed)
    problem = FAMILIES["chain"].draw(rng)
    solution = problem.worked(rng, 0.3)
    if sum(not step.is_right for step in solution.steps) == 1:
        assert solution.answer != problem.answer


def test_facts_with_a_confusion_go_wrong_five_times_as_often_and_in_one_way():
    rng = Random(0)
    steps = [
        step for problem in FAMILIES["chain"].problems("train", 1000, 0) for step in problem.worked(rng, 0.1).steps
    ]
    confused = [step for step in steps if step.operation.confusion(step.value) is not None]
    plain = [step for step in steps if step.operation.confusion(step.value) is None]
    assert sum(not step.is_right for step in confused) / len(confused) == pytest.approx(0.5, abs=0.04)
    assert sum(not step.is_right for step in plain) / len(plain) == pytest.approx(0.1, abs=0.02)
    assert {step.result - step.operation.confusion(step.value) for step in confused if not step.is_right} == {0}
    assert {(step.result - step.operation.apply(step.value)) % 10 for step in plain} == set(range(10))


def test_at_rate_one_every_step_is_wrong():
    assert all(not step.is_right for step in WORKED_BY_HAND.worked(Random(0), 1.0).steps)


def test_a_fifth_of_all_facts_has_a_confusion_and_it_is_never_right():
    digits = {"+": range(1, 10), "-": range(1, 10), "*": (3, 7, 9)}
    facts = [(Operation(symbol, d), value) for symbol in digits for d in digits[symbol] for value in range(10)]
    confused = [(operation, value) for operation, value in facts if operation.confusion(value) is not None]
    assert len(confused) / len(facts) == pytest.approx(0.2, abs=0.05)
    assert all(operation.confusion(value) != operation.apply(value) for operation, value in confused)


def test_wrong_results_are_found_in_the_text():
    steps = (Step(7, Operation("+", 5), 3), Step(3, Operation("*", 9), 7), Step(7, Operation("-", 9), 9))
    solution = WorkedChain(steps)
    assert solution.wrong_steps == {steps[0], steps[2]}
    assert [solution.text[end - 5 : end] for end in sorted(solution.wrong_ends)] == ["5 = 3", "9 = 9"]


@pytest.mark.parametrize(("family", "lengths"), [("chain", {3, 4, 5}), ("chain-long", {8})])
def test_a_family_has_chains_of_its_lengths(family, lengths):
    assert {len(problem.operations) for problem in FAMILIES[family].problems("train", 100, 0)} == lengths


def test_a_response_is_judged_by_what_its_last_box_holds():
    assert final_answer("\\boxed{1} no, \\boxed{2}.") == "2"
    assert final_answer("2") is None
    assert WORKED_BY_HAND.solved_by("\\boxed{1}, or rather \\boxed{9}")
    assert not WORKED_BY_HAND.solved_by("9")
    assert WORKED_BY_HAND.reference == "9"
