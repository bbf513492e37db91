from __future__ import annotations

import pytest

from mopd_verifiers.math.prose import is_bare, statement


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5. I am sure", "5"),
        ("5 because 3 + 2", "5"),
        ("5 apples for 3 boys", "5"),
        ("18 dollars per day", "18 dollars per day"),
        ("18 thousand dollars", "18 thousand dollars"),
        ("5 to 7", "5 to 7"),
        ("5 or 6 apples", "5 or 6"),
        ("5, not 6", "5"),
        ("3.5", "3.5"),
        ("$x = 3$ as wanted", "$x = 3$"),
        ("that $x = 3$ and $y = 4$ hold", "$x = 3$ and $y = 4$"),
        (r"\frac{1}{2} of it", r"\frac{1}{2}"),
        (r"\text{no solution}", r"\text{no solution}"),
        ("blue because of the sky", "blue"),
        ("C. Because", "C"),
        ("found by adding 3 and 4", ""),
    ],
)
def test_statement(text, expected):
    assert statement(text) == expected


@pytest.mark.parametrize(
    ("text", "bare"), [("7", True), ("2x + 1", True), ("1 and 2", True), ("it is 7", False), ("7\n8", False)]
)
def test_is_bare(text, bare):
    assert is_bare(text) is bare
