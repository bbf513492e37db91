"""No text makes a reader of answers raise, or take long: every text of up to an answer's length, rich in LaTeX."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_verifiers.math.answers import MAX_ANSWER_CHARS, find_answer, last_box
from mopd_verifiers.math.markers import marked_line, without_emphasis
from mopd_verifiers.math.numbers import read_number, same_base, same_number, without_exponents
from mopd_verifiers.math.prose import is_bare, statement
from mopd_verifiers.math.shapes import sides, split
from mopd_verifiers.math.spelling import key, normal
from mopd_verifiers.math.units import without_text_unit
from mopd_verifiers.math.words import choice_letter, phrase

LATEX = r"""
\frac \frac{1}{2} \sqrt \boxed{ \fbox{ \text{ \left( \right] \{ \} \\ \, \cup \pm \mp \in \infty \begin{pmatrix}
\end{pmatrix} \begin{array}{cc} \times 10^{ \overline{3} ^\circ \% \( \) \[ \] \cdot _2 _{16} 1,080 1{,}080 √ （ − ½ ² ٣
"""
WORDS = ["x", "E", "e", "pi", "cm", "percent", "and", " or ", " is ", "no", "answer is ", "Answer: ", "because "]
OTHERS = [*"0123456789+-*/^_=<>(){}[]|,.;:!?%$&#~'\"\\ \n\t", "#### ", "</think>", "**", "\ud800", "\x00"]
FRAGMENTS = [*LATEX.split(), *WORDS, *OTHERS]
texts = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(FRAGMENTS), max_size=80).map("".join))

READERS = [
    *(find_answer, last_box, without_emphasis, without_exponents, statement, is_bare, normal, key, read_number),
    *(without_text_unit, split, sides, phrase, choice_letter, lambda text: marked_line(text, MAX_ANSWER_CHARS)),
]


@given(texts)
@settings(deadline=1000, max_examples=300)
def test_no_reader_raises(text):
    for reader in READERS:
        reader(text)
        reader(normal(text))


@given(texts, texts)
@settings(deadline=1000)
def test_comparisons_of_numbers_do_not_raise(one, other):
    numbers = read_number(normal(one)), read_number(normal(other))
    if numbers[0] and numbers[1]:
        assert same_number(*numbers) in (True, False)
    assert same_base(normal(one), normal(other)) in (True, False, None)


@given(texts)
def test_normal_twice_is_normal_enough(text):
    assert len(normal(text)) <= 12 * len(text) + 1


@pytest.mark.parametrize("fragment", FRAGMENTS)
@pytest.mark.parametrize("shape", ["{0}", "{0} ", "1{0}", "{0}x,"])
def test_time_is_bounded_however_often_a_piece_is_repeated(fragment, shape):
    piece = shape.format(fragment)
    text = (piece * MAX_ANSWER_CHARS)[:MAX_ANSWER_CHARS]
    start = time.process_time()
    for reader in READERS:
        reader(text)
    assert time.process_time() - start < 1
