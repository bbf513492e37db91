from __future__ import annotations

import pytest

from mopd_verifiers.math.shapes import Shape, sides, split


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("7", Shape("leaf", ("7",))),
        ("((7))", Shape("leaf", ("7",))),
        ("(x+1)(x-1)", Shape("leaf", ("(x+1)(x-1)",))),
        ("f(1, 2)", Shape("leaf", ("f(1, 2)",))),
        ("1, 2", Shape("list", ("1", "2"))),
        ("1, 2, and 3", Shape("list", ("1", "2", "3"))),
        ("x or y", Shape("list", ("x", "y"))),
        ("1,080", Shape("leaf", ("1,080",))),
        ("1,080, 7", Shape("list", ("1,080", "7"))),
        ("(1,080)", Shape("group", ("1", "080"), "()")),
        ("(-1, 2]", Shape("group", ("-1", "2"), "(]")),
        (r"\{1, (2, 3)\}", Shape("group", ("1", "(2, 3)"), "{}")),
        (r"(1,2) \cup [3,4)", Shape("union", ("(1,2)", "[3,4)"))),
        (r"\begin{pmatrix}1&2\\3&4\\\end{pmatrix}", Shape("matrix", ("1", "2", "3", "4"), "2x2")),
        (r"[\begin{array}{c|c}1&2\end{array}]", Shape("matrix", ("1", "2"), "1x2")),
        (r"\begin{vmatrix}1\end{vmatrix}", Shape("matrix", ("1",), "v1x1")),
        (r"\begin{pmatrix}1&2\\3\end{pmatrix}", Shape("leaf", (r"\begin{pmatrix}1&2\\3\end{pmatrix}",))),
        ("1,,2", Shape("leaf", ("1,,2",))),
        ("(1, 2", Shape("leaf", ("(1, 2",))),
        ("", Shape("leaf", ("",))),
    ],
)
def test_split(text, shape):
    assert split(text) == shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 5", ["x", "5"]),
        (r"x \in (1, 2)", ["x", "(1, 2)"]),
        (r"\sum_{k=1} k = 5", [r"\sum_{k=1} k", "5"]),
        (r"x \le 5", [r"x \le 5"]),
        (r"\infty", [r"\infty"]),
    ],
)
def test_sides(text, expected):
    assert sides(text) == expected
