"""Letters in short texts, by hand: what counts as a letter of an option, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_verifiers.choice.letters import MAX_ANSWER_CHARS, letters_at_start, letters_of
from mopd_verifiers.choice.prose import letters_in_prose


@pytest.mark.parametrize(
    "text",
    [
        *("B", "b", " \nB\n", "(B)", "[b]", "B.", "B)", "**B**", "__B__", "`B`", '"B"', "$B$"),
        *(r"\text{B}", r"\mathrm{B}", r"\textbf{(B)}\ 12", r"\(B\)", r"\text{B. Paris}"),
        *("B. Paris", "B: 1.69", "B) Paris", "(B) Paris", "B - Paris", "B (Paris)", "B\nParis", "B:1.69", "(b) Paris"),
        *("option B", "Option B: Paris", "The answer is B.", "the correct choice is (B)", "Answer: B"),
        *("B. A cat sat on it", "B: I think so", "B. Vitamin C", "B: CC(C)C(=O)O", "B: O=C=O", "B: [C-]#N", "B: C"),
        *("Ｂ", "（Ｂ）", "Ｂ：１．６９"),
        *("B, since A is too small", "B because (A) is too small"),
    ],
)
def test_an_answer_gives_its_letter(text):
    assert letters_of(text) == {"B"}


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("A, C", "AC"),
        ("A and C", "AC"),
        ("A or C", "AC"),
        ("A/C", "AC"),
        ("A & C", "AC"),
        ("AC", "AC"),
        ("ABCD", "ABCD"),
        ("A B C D", "ABCD"),
        ("A. B. C. D.", "ABCD"),
        ("A) B) C)", "ABC"),
        ("(A), (C)", "AC"),
        ("A, and C", "AC"),
        ("A\nC", "AC"),
        ("A. Paris\nC. Rome", "AC"),
        ("A. Paris C. Rome", "AC"),
        ("(A) Paris (C) Rome", "AC"),
        ("A and C because both are true", "AC"),
    ],
)
def test_several_letters(text, letters):
    assert letters_of(text) == set(letters)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "   ",
            "...",
            "1.69",
            "none of these",
            "A cat",
            "I think so",
            "a matter of taste",
            "A protein that binds",
        ),
        *("Berlin", "BB", "DNA strand", "vitamin C", "not B", "é", "x + 1", "either A or B", "Ä", "ẞ"),
        "B" + " " * MAX_ANSWER_CHARS + "x",
    ],
)
def test_what_is_no_letter(text):
    assert letters_of(text) == frozenset()


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("C", "C"),
        ("(C) because (A) is too small", "C"),
        ("C. A is wrong, and B. is too", "C"),
        ("C, not A", "C"),
        ("C, I think", "C"),
        ("A because it fits", "A"),
        ("A and B.", "AB"),
        ("A protein", ""),
        ("a mess", ""),
        ("c", "C"),
    ],
)
def test_prose_after_a_letter_is_not_read(text, letters):
    assert letters_at_start(text) == set(letters)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("So it is B", "B"),
        ("So it is **B**.", "B"),
        ("B", "B"),
        ("A", "A"),
        ("I believe that A is right", "A"),
        ("First (A) looks right.\nIn the end it is (C)\n\n", "C"),
        ("I choose option A", "A"),
        ("A cat. I saw a cat and I ran", ""),
        ("I think a cat is A cat indeed", ""),
        ("A, B, C, D", "ABCD"),
        ("A or B", "AB"),
        ("the vitamin-C and O2 and T-cells at 20 °C", ""),
        ("", ""),
    ],
)
def test_letters_in_prose(text, letters):
    assert letters_in_prose(text) == set(letters)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read(text):
    for read in (letters_of, letters_at_start, letters_in_prose):
        assert all(letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for letter in read(text))


@settings(deadline=None)
@given(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), st.sampled_from(["{}", "({})", "{}.", r"\text{{{}}}", "**{}**"]))
def test_every_letter_in_every_dress(letter, dress):
    assert letters_of(dress.format(letter)) == {letter}
    assert letters_of(dress.format(letter.lower())) == {letter}
