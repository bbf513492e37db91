from __future__ import annotations

import pytest

from mopd_verifiers.math.spelling import key, normal
from mopd_verifiers.math.words import choice_letter, phrase


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Evelyn", "evelyn"),
        (r"\text{Evelyn}", "evelyn"),
        ("no change", "no change"),
        ("The red one.", "red one"),
        ("no", "no"),
        ("xy", "xy"),
        ("5 pm", "5 pm"),
        ("twenty-one", "twenty one"),
        ("B", None),
        ("a1", None),
        ("3ab", None),
        ("sin x", None),
        ("x + no", None),
        (r"\alpha", None),
        ("7", None),
    ],
)
def test_phrase(text, expected):
    assert phrase(normal(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C", "C"),
        ("(C)", "C"),
        ("C.", "C"),
        ("C) 12", "C"),
        ("C: 12", "C"),
        (r"\text{C}", "C"),
        (r"\textbf{(C)}\ 12", "C"),
        (r"\mathrm{(E)}", "E"),
        ("(K) all of these", "K"),
        ("C or D", None),
        ("(C), (D)", None),
        ("C: D", None),
        ("A, C", None),
        ("Cat", None),
        ("C + 1", None),
        ("c", None),
        ("7", None),
    ],
)
def test_choice_letter(text, expected):
    assert choice_letter(normal(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\left( \dfrac{1}{2},\; x \right)", r"( \frac{1}{2}, x )"),
        (r"$\displaystyle \tfrac12$.", r"\frac{1}{2}"),
        (r"\(5\)", "5"),
        ("x²³", "x^{23}"),
        ("３−４", "3-4"),
        ("5 × 3", r"5 \times 3"),
        (r"\lbrace 1 \rbrace", r"\{ 1 \}"),
        (r"\mathbf{Yes}", "Yes"),
        (r"a \leqslant b", r"a \le b"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ],
)
def test_normal(text, expected):
    assert key(normal(text)) == key(expected)


def test_a_space_between_digits_means_something():
    assert key("1 1/2") != key("11/2")
    assert key("( 1 , 2 )") == key("(1,2)")
