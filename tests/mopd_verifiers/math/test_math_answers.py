from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_verifiers.math.answers import MAX_ANSWER_CHARS, FinalAnswer, find_answer, last_box


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{7}", "7"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\fbox{3} \boxed{4}", "4"),
        (r"\boxed{4} \fbox{3}", "3"),
        (r"\boxed{5} and \boxed{6, cut off", "5"),
        (r"\boxed{\boxed{8}}", "8"),
        ("no box", None),
        (r"\boxed 7", None),
    ],
)
def test_last_box(text, expected):
    assert last_box(text) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"It is 3. #### 5 \boxed{4}. Answer: 6", FinalAnswer("boxed", "4")),
        ("Answer: 5\nso #### 6", FinalAnswer("marked", "6")),
        ("The final answer is 12. I am sure.", FinalAnswer("marked", "12. I am sure")),
        ("**Answer:** **18**", FinalAnswer("marked", "18")),
        ("## Final Answer:\n\n$x = 3$\n", FinalAnswer("marked", "$x = 3$")),
        ("Answer: 4. The answer is", FinalAnswer("marked", "4. The answer is")),
        ("Answer: $18 per day", FinalAnswer("marked", "18 per day")),
        ("Answer: $18$", FinalAnswer("marked", "$18$")),
        ("we pay $20.", FinalAnswer("tail", "we pay 20.")),
        ("we get 3 + 4", FinalAnswer("tail", "we get 3 + 4")),
        (r"\boxed{1}, \boxed{2}", FinalAnswer("boxed", "1, 2")),
        (r"\(\boxed{1}\) and \(\boxed{2}\)", FinalAnswer("boxed", "1, 2")),
        (r"$x=\boxed{1}$,\; and $y_1 = \boxed{2}$", FinalAnswer("boxed", "1, 2")),
        (r"\boxed{1} or rather \boxed{2}", FinalAnswer("boxed", "2")),
        (r"\boxed{1}. \boxed{2}", FinalAnswer("boxed", "2")),
        ("\\boxed{1}\n\n\\boxed{2}", FinalAnswer("boxed", "2")),
        (r"\boxed{3} then \boxed{1}, \boxed{2}", FinalAnswer("boxed", "1, 2")),
        (r"\boxed{1}, \boxed{1}", FinalAnswer("boxed", "1")),
        ("So x = 5. The answer is correct.", FinalAnswer("tail", "So x = 5. The")),
        ("<think>\\boxed{1}</think> It is 2", FinalAnswer("tail", " It is 2")),
        (r"<think>\boxed{1}</think>", None),
        ("", None),
        ("  \n", None),
    ],
)
def test_find_answer(response, expected):
    assert find_answer(response) == expected


def test_a_box_longer_than_an_answer_is_none():
    assert last_box("\\boxed{" + "1" * MAX_ANSWER_CHARS + "}") == "1" * MAX_ANSWER_CHARS
    assert last_box("\\boxed{" + "1" * (MAX_ANSWER_CHARS + 1) + "}") is None


@given(st.text(alphabet=st.sampled_from("\\boxed{}$# answer is:7\n"), max_size=300))
def test_any_text_is_searched_without_an_error(text):
    found = find_answer(text)
    assert found is None or len(found.text) <= MAX_ANSWER_CHARS


@pytest.mark.parametrize(
    "piece",
    [
        *("\\boxed{", "{", "}", "answer is ", "answer ", "####", "\\boxed{}", "$1", "answer\t", " "),
        *("this answer is clear\n", "#### step\n", "*", "**", "*a ", "**a ", "_", " _", "_a ", "__a ", "*a\n", "if "),
    ],
)
def test_time_is_linear(piece):
    text = piece * (2_000_000 // len(piece))
    start = time.process_time()
    find_answer(text)
    assert time.process_time() - start < 2
