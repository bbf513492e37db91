from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from mopd_core.bundled.families import FAMILIES
from mopd_core.bundled.samples import Mixture, Shape, context_blocks, draw_sample, stream_samples

PROBLEM, OTHER = FAMILIES["chain"].problems("pretrain", 2, 0)


def test_right_solutions_come_first_and_are_right():
    shown = context_blocks(PROBLEM, Shape(2, 1), Random(0), 0.2)
    assert [block.kind for block, _ in shown] == ["success", "success", "failure"]
    assert [solution.answer == PROBLEM.answer for _, solution in shown] == [True, True, False]
    assert [block.text for block, _ in shown] == [solution.text for _, solution in shown]


def test_without_context_the_prompt_is_the_question_and_everything_is_learned():
    sample = draw_sample(PROBLEM, OTHER, Shape(0, 0), Mixture(error_rate=1.0), Random(0))
    assert sample.messages == ({"role": "user", "content": PROBLEM.question},)
    assert sample.not_learned == frozenset()


def test_with_a_right_solution_shown_wrong_results_are_not_learned():
    sample = draw_sample(PROBLEM, OTHER, Shape(1, 0), Mixture(), Random(0))
    lines = sample.response.splitlines()[:-1]
    wrong = [line for line in lines if eval(line.split("=")[0]) % 10 != int(line[-1])]
    assert [sample.response[:end].splitlines()[-1] for end in sorted(sample.not_learned)] == wrong


def test_a_shown_mistake_is_not_made_again():
    mixture = Mixture(error_rate=0.4, failure_only_rate=0.4)
    for seed in range(50):
        sample = draw_sample(PROBLEM, OTHER, Shape(0, 1), mixture, Random(seed))
        shown = sample.messages[0]["content"].split("is wrong:\n")[1].splitlines()
        mistakes = {line for line in shown[:5] if "=" in line and eval(line.split("=")[0]) % 10 != int(line[-1])}
        assert mistakes.isdisjoint(sample.response.splitlines())


def test_an_unrelated_context_shows_another_question_solved():
    sample = draw_sample(PROBLEM, OTHER, Shape(1, 0, unrelated=True), Mixture(), Random(0))
    assert sample.messages[0]["content"].startswith(PROBLEM.question)
    assert f"\\boxed{{{OTHER.answer}}}" in sample.messages[0]["content"]
    assert sample.not_learned == frozenset()


def test_the_stream_keeps_to_its_split_and_its_shares():
    samples = list(islice(stream_samples("chains", Mixture(), Random(0)), 2000))
    questions = {sample.messages[0]["content"].split("\n")[0] for sample in samples}
    held_out = {problem.question for problem in FAMILIES["chain"].problems("held_out", 2000, 0)}
    assert questions.isdisjoint(held_out)
    plain = sum("\n" not in sample.messages[0]["content"] for sample in samples)
    assert plain / len(samples) == pytest.approx(0.40, abs=0.04)


def test_programs_are_shown_right_and_wrong_and_come_from_their_split_alone():
    samples = list(islice(stream_samples("programs", Mixture(), Random(0)), 200))
    assert all("```python\nx = int(input())\n" in sample.response for sample in samples)
    prompts = [sample.messages[0]["content"] for sample in samples]
    held_out = {problem.question for problem in FAMILIES["programs"].problems("held_out", 100, 0)}
    assert held_out.isdisjoint(prompt.split("\n")[0] for prompt in prompts)
    assert any("is right:\n```python" in prompt and "is wrong:\n```python" in prompt for prompt in prompts)
