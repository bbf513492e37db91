"""1. Tags beat boxes, boxes beat markers; of each, the last counts. 2. A list of letters is no single answer.
3. Thinking is not read. 4. Feedback never holds the gold. 5. Nothing raises, and time is linear.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_core.errors import DataError
from mopd_core.testing.verifiers import VerifierSuite
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.choice.answers import find_letters
from mopd_verifiers.choice.config import ChoiceConfig
from mopd_verifiers.choice.verifier import ChoiceVerifier

LIMIT_S = 5.0
"""For two million characters; a quadratic pattern would take hours."""


def judge(response, gold, *, prose=False) -> Verdict:
    (verdict,) = ChoiceVerifier(ChoiceConfig(prose=prose)).verify([VerifyItem(response, gold, prompt_id="p-1")])
    return verdict


def letters(response, *, prose=False) -> str | None:
    """The letters found, in order; None for no answer."""
    found = find_letters(response, prose=prose)
    return None if found is None else "".join(sorted(found.letters))


class TestChoiceSuite(VerifierSuite):
    @pytest.fixture
    def verifier(self):
        return ChoiceVerifier(ChoiceConfig())

    @pytest.fixture
    def new_verifier(self):
        return lambda: ChoiceVerifier(ChoiceConfig())

    @pytest.fixture
    def bad_references(self):
        return [VerifyItem("", gold) for gold in (None, "BC", 2, [], {"answer": "E", "options": 4})]

    @pytest.fixture
    def passing(self):
        return [
            VerifyItem("<answer>\nB\n</answer>", "B"),
            VerifyItem(r"so \boxed{\text{(J)}}", {"answer": "J", "options": 10}),
            VerifyItem("The answer is C.", " c "),
            VerifyItem("<answer>C, A</answer>", ["A", "C"]),
        ]

    @pytest.fixture
    def failing(self):
        return [
            VerifyItem("<answer>A</answer>", "B"),
            VerifyItem("<answer>A, B, C, D</answer>", "B"),
            VerifyItem("so it is B", "B"),
            VerifyItem("<answer>A</answer>", ["A", "C"]),
            VerifyItem("<answer>A, B, C</answer>", ["A", "C"]),
        ]


class TestChoiceSuiteInProse(VerifierSuite):
    @pytest.fixture
    def verifier(self):
        return ChoiceVerifier(ChoiceConfig(prose=True))

    @pytest.fixture
    def new_verifier(self):
        return lambda: ChoiceVerifier(ChoiceConfig(prose=True))

    @pytest.fixture
    def bad_references(self):
        return [VerifyItem("", gold) for gold in (None, "BC", 2, [], {"answer": "E", "options": 4})]

    @pytest.fixture
    def passing(self):
        return [VerifyItem("so it is B", "B"), VerifyItem("B", "B"), VerifyItem("A and C.", ["A", "C"])]

    @pytest.fixture
    def failing(self):
        return [VerifyItem("so it is C", "B"), VerifyItem("A, B, C, D", "B"), VerifyItem("A cat", "A")]


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("<answer>B</answer>", "B"),
        ("< Answer >\n\n(b)\n</ANSWER>", "B"),
        ("<answer>B", "B"),
        ("<answer>B</answer>, as asked inside of <answer>", "B"),
        ("I put it in <answer>...</answer>. <answer>B</answer>", "B"),
        ("<answer>...</answer> Answer: C", "C"),
        ("<answer>A</answer> No, on second thought <answer>B</answer>", "B"),
        ("<answer>A</answer><answer>B</answer>", "AB"),
        ("<answer>A</answer> or <answer>B</answer>\n<answer>C</answer>", "ABC"),
        ("<answer>1.69</answer> Answer: B", ""),
        ("<answer>B</answer> <answer>none of these</answer>", ""),
        (r"<answer>B</answer> \boxed{C} Answer: D", "B"),
        (r"Answer: D, that is \boxed{C}", "C"),
        (r"\boxed{1.69}, so Answer: B", "B"),
        (r"$\boxed{A}$, no: I forgot the sign. $\fbox{(B)}$", "B"),
        (r"\boxed{A} \boxed{B}", "AB"),
        (r"\boxed{B", None),
        (r"\boxed{\text{B. } x^{2}}", "B"),
        ("Answer: C", "C"),
        ("ANSWER: c", "C"),
        ("**Final answer:** **C**", "C"),
        ("**Answer**: C.", "C"),
        ("Answer:\n\nC", "C"),
        ("The answer is (C) because (A) is too small.", "C"),
        ("the correct option is C", "C"),
        ("the answer would be $C$", "C"),
        ("答案：Ｃ", "C"),
        ("The answer is A. But 2 is even, so the answer is C.", "C"),
        ("Answer: A\nAnswer: B\nAnswer: C", "ABC"),
        ("The answer is A. The answer is B. The answer is C.", "ABC"),
        ("**Final answer:** The answer is C", "C"),
        ("The answer is C. I hope the answer is A good one.", "C"),
        ("The answer is C. I do not think the answer is A.", "C"),
        ("The answer is C. See if the answer is A, too.", "C"),
        ("The answer is C. The answer is a matter of sign.", "C"),
        ("The answer is A protein", None),
        ("The answer is not C", None),
        ("It is C", None),
        ("C", None),
        ("<think><answer>A</answer></think><answer>B</answer>", "B"),
        ("<think>Answer: B</think> I do not know", None),
        ("Answer: B\n<think> or Answer: A", "B"),
    ],
)
def test_where_the_answer_is(response, found):
    assert letters(response) == found


def test_prose_is_the_last_resort():
    assert letters("Answer: B. So it is C", prose=True) == "B"
    assert letters("So it is C", prose=True) == "C"


@pytest.mark.parametrize("gold", ["A", "B", "C", "D"])
@pytest.mark.parametrize(
    "response",
    [
        "<answer>A, B, C, D</answer>",
        "<answer>ABCD</answer>",
        "<answer>A</answer><answer>B</answer><answer>C</answer><answer>D</answer>",
        "<answer>A or B or C or D</answer>",
        "<answer>A. one\nB. two\nC. three\nD. four</answer>",
        r"\boxed{A}, \boxed{B}, \boxed{C}, \boxed{D}",
        r"\boxed{A, B, C, D}",
        "Answer: A\nAnswer: B\nAnswer: C\nAnswer: D",
        "Answer: A, B, C, D",
        "The answer is A, B, C or D.",
        "A B C D",
    ],
)
def test_all_letters_are_no_answer(response, gold):
    for prose in (False, True):
        verdict = judge(response, gold, prose=prose)
        assert (verdict.reward, verdict.status) == (0.0, "failed")


@pytest.mark.parametrize("gold", ["B", " b ", "(B)", "B.", {"answer": "B"}, {"answer": "(b)", "options": 2}, ["B"]])
def test_references(gold):
    assert judge("<answer>B</answer>", gold).status == "passed"
    assert judge("<answer>A</answer>", gold).status == "failed"


@pytest.mark.parametrize(
    "gold",
    [
        *(None, "", 1, True, 2.5, "BC", "1", "é", [], [1], ["A", "A"], ["A", "BC"], {}, {"options": 4}),
        *({"answer": "B", "options": 1}, {"answer": "B", "options": 27}, {"answer": "B", "options": True}),
        *({"answer": "E", "options": 4}, {"answer": "B", "option": 4}, {"answer": None}, " " * 100_000, "((" * 50_000),
    ],
    ids=range(22),
)
def test_a_bad_reference_names_its_prompt(gold):
    verifier = ChoiceVerifier(ChoiceConfig())
    items = [VerifyItem("", "A"), VerifyItem("", gold, prompt_id="p-7")]
    for read in (verifier.verify, verifier.check):
        with pytest.raises(DataError, match=r"'p-7'.*`choice`.*Allowed") as raised:
            read(items)
        assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("response", "gold", "feedback"),
    [
        ("<answer>C</answer>", "B", "The answer was C, which is not right."),
        ("<answer>C, D</answer>", "B", "The answer holds several letters, C, D, where one is asked for."),
        ("<answer>F</answer>", {"answer": "B", "options": 4}, "F is not among the options, A to D."),
        ("<answer>1\n2</answer>", "B", "The answer '1 2' is not the letter of an option; give the letter"),
        ("It is obvious", "B", "No answer was found; give the letter of the option, as in <answer>LETTER</answer>"),
        ("It is obvious", ["B", "C"], "No answer was found; give the letters of all right options"),
        ("<answer>D</answer>", ["B", "C"], "The answer was D, which is not right."),
    ],
)
def test_feedback(response, gold, feedback):
    assert judge(response, gold).feedback.startswith(feedback)


def test_feedback_can_be_written_to_a_file():
    assert judge("<answer>\ud800 nothing</answer>", "B").feedback.encode("utf-8")


def test_a_letter_beyond_the_options_fails_even_among_right_ones():
    assert judge("<answer>A, F</answer>", {"answer": ["A"], "options": 4}).status == "failed"


FRAGMENTS = [
    *(
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "\\boxed{",
        "}",
        "Answer:",
        "the answer is ",
        "A",
        "B",
        "(C)",
        "I",
    ),
    *(" ", "\n", ",", "or", "**", "$", "\\text{", "\\", "D. Paris", "答案是", "if ", "x"),
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5)).map("".join), st.sampled_from("ABCD"))
def test_any_response_is_judged(response, gold):
    verdicts = [judge(response, gold, prose=prose) for prose in (False, True)]
    assert {verdict.status for verdict in verdicts} <= {"passed", "failed"}


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS)).map("".join))
def test_no_response_passes_for_two_golds(response):
    assert sum(judge(response, gold, prose=True).status == "passed" for gold in "ABCD") <= 1


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "x",
            " ",
            "\n",
            "A ",
            "(A",
            "<answer>A",
            "<answer>",
            "< ",
            "\\boxed{",
            "\\boxed{A}",
            "\\boxed{A",
            "answer is A ",
        ),
        *("Answer: A\n", "answer:**  ", "correct   ", "the correct ", "if the answer is ", "<think>", "\\", "A, "),
    ],
)
def test_time_is_linear(unit):
    text = unit * (2_000_000 // len(unit))
    for response in (text, f"<answer>{text}</answer>", f"Answer: {text}"):
        start = time.process_time()
        find_letters(response, prose=True)
        assert time.process_time() - start < LIMIT_S


def test_an_answer_behind_ten_megabytes_is_found():
    assert letters("so it goes. " * 800_000 + "<answer>B</answer>") == "B"
