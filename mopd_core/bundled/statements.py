"""Statements that change a whole number x, as Python text and as what that text computes: nothing is run to know it.

A new form is a line here; `programs` says what is asked in which words, and which forms are taken for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """A statement but for its numbers: a template with `{a}`, `{b}` and `{after}` (a + 1), and what it makes of x."""

    code: str
    run: Callable[[int, int, int], int]


ADD = Form("x += {a}", lambda x, a, b: x + a)
SUBTRACT = Form("x -= {a}", lambda x, a, b: x - a)
MULTIPLY = Form("x *= {a}", lambda x, a, b: x * a)
RAISE = Form("x = max(x, {a})", lambda x, a, b: max(x, a))
LOWER = Form("x = min(x, {a})", lambda x, a, b: min(x, a))
DIVIDE = Form("x //= {a}", lambda x, a, b: x // a)
REMAINDER = Form("x %= {a}", lambda x, a, b: x % a)
IF_ABOVE = Form("if x > {a}:\n    x -= {b}", lambda x, a, b: x - b if x > a else x)
IF_FROM = Form("if x >= {a}:\n    x -= {b}", lambda x, a, b: x - b if x >= a else x)
IF_BELOW = Form("if x < {a}:\n    x -= {b}", lambda x, a, b: x - b if x < a else x)
EVEN_ELSE = Form("if x % 2 == 0:\n    x += {a}\nelse:\n    x -= {b}", lambda x, a, b: x + a if x % 2 == 0 else x - b)
ODD_ELSE = Form("if x % 2 == 1:\n    x += {a}\nelse:\n    x -= {b}", lambda x, a, b: x + a if x % 2 else x - b)
EACH = Form("for i in range(1, {after}):\n    x += i", lambda x, a, b: x + sum(range(1, a + 1)))
EACH_BUT_LAST = Form("for i in range(1, {a}):\n    x += i", lambda x, a, b: x + sum(range(1, a)))
DOUBLE_ADD = Form("for i in range({a}):\n    x = 2 * x + {b}", lambda x, a, b: 2**a * (x + b) - b)
DOUBLE_BOTH = Form("for i in range({a}):\n    x = 2 * (x + {b})", lambda x, a, b: 2**a * (x + 2 * b) - 2 * b)


@dataclass(frozen=True, slots=True)
class Statement:
    """A form with its numbers; `str` gives its lines."""

    form: Form
    a: int
    b: int

    def __str__(self) -> str:
        return self.form.code.format(a=self.a, b=self.b, after=self.a + 1)

    def run(self, x: int) -> int:
        """What it makes of x."""
        return self.form.run(x, self.a, self.b)


def outputs(statements: Sequence[Statement], inputs: Sequence[int]) -> list[int]:
    """What a program prints for each input."""
    printed = []
    for x in inputs:
        for statement in statements:
            x = statement.run(x)
        printed.append(x)
    return printed
