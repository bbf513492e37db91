"""Computer algebra, for what has to be computed: math-verify on two expressions. Only inside a worker.

It may take for ever or use up the memory there. math-verify's own time limits use signals and are switched off. Its
unit stripping is off too: it takes `3m` for 3.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, LatexNormalizationConfig, parse, verify
from sympy import Eq, Expr, Float, Integer, Rational, Symbol, UnevaluatedExpr, simplify, solve
from sympy.core.cache import clear_cache

from mopd_verifiers.math.numbers import Number, without_exponents
from mopd_verifiers.math.spelling import without_unicode_signs
from mopd_verifiers.math.units import without_text_unit

logging.getLogger("math_verify").setLevel(logging.ERROR)

MAX_CHARS = 1000
"""Longer text is not read: the parser's patterns take quadratic time and more on it."""

_LATEX = LatexNormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last", equations=False
)
_BOX = [LatexExtractionConfig(boxed_match_priority=0, normalization_config=_LATEX)]
_ANY = [LatexExtractionConfig(), ExprExtractionConfig()]
_BRACKET = re.compile(r"\\?[()\[\]{}]")
_MAX_DEPTH = 30
_DIGITS = 30
_TOLERANCE = Rational(1, 10**6)


def read(text: str) -> Any:
    """The expression of a normal text, or None."""
    text = without_exponents(without_text_unit(text)).replace("%", "\\%")
    if not text or len(text) > MAX_CHARS or not _is_nested_well(text):
        return None
    parts = parse(f"\\boxed{{{text}}}", _BOX, fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True)
    return parts[0] if parts else None


@lru_cache(maxsize=256)
def read_gold(text: str) -> Any:
    """`read`, for what is read again and again; None also where reading it raises."""
    try:
        return read(text)
    except Exception:  # The boundary: computer algebra raises anything.
        return None


def read_prose(text: str) -> tuple[Any, str]:
    """The expression that math-verify finds in a sentence, None without one, and the text that it was read from."""
    parts = parse(without_exponents(without_unicode_signs(text)), _ANY, parsing_timeout=None, raise_on_error=True)
    expression = next((part for part in parts if not isinstance(part, str)), None)
    return expression, next((part for part in parts if isinstance(part, str)), "")


def same(gold: Any, answer: Any) -> bool:
    """Whether two expressions are equal for math-verify, with equations held to the same unknowns.

    What differs at a point is not asked about: simplifying `\\cos(64x) - 7` takes minutes.
    """
    if _differ_at_a_point(gold, answer):
        return False
    if isinstance(gold, Eq) and isinstance(answer, Eq) and gold.free_symbols != answer.free_symbols:
        return False
    if Symbol in (type(gold), type(answer)) and isinstance(gold, Expr) and isinstance(answer, Expr):
        return bool(simplify(gold - answer) == 0)
    equal = verify(gold, answer, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True)
    return bool(equal) and not (isinstance(gold, Eq) and isinstance(answer, Eq) and _only_both_unsolvable(gold, answer))


def try_out(gold: Any) -> None:
    """Do with a gold what the comparison with a wrong number would: it may take for ever, or all the memory."""
    if getattr(gold, "is_number", False):
        verify(gold, Integer(7), timeout_seconds=None, raise_on_error=True)


def near(expression: Any, number: Number) -> bool | None:
    """Whether an expression is a decimal number to a millionth, and to a millionth of it; None with unknowns in it."""
    value = expression.evalf(_DIGITS) if getattr(expression, "is_number", False) else None
    if not isinstance(value, Float | Rational):
        return None
    target = Rational(number.value.numerator, number.value.denominator) / (100 if number.is_percent else 1)
    return bool(abs(value - target) <= _TOLERANCE * min(1, abs(target)))


def forget() -> None:
    """Drop what the algebra remembers of expressions: it is most of what grows in a worker."""
    clear_cache()


def _differ_at_a_point(gold: Any, answer: Any) -> bool:
    """Whether the values differ where the unknowns have fixed values; False also where there is no value."""
    both = gold, answer
    if not all(isinstance(expression, Expr) and not expression.has(UnevaluatedExpr) for expression in both):
        return False
    names = sorted(gold.free_symbols | answer.free_symbols, key=str)
    point = {name: Rational(2 * i + 7, i + 5) for i, name in enumerate(names)}
    values = [expression.evalf(_DIGITS, subs=point) for expression in both]
    if not all(value.is_number and value.is_finite for value in values):
        return False
    tolerance = _TOLERANCE if gold.has(Float) or answer.has(Float) else _TOLERANCE**2
    return bool(abs(values[0] - values[1]) > tolerance * (1 + abs(values[0])))


def _is_nested_well(text: str) -> bool:
    """Every bracket closed, and not too deep: the parser's time grows fast with both."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket[0][-1] in "([{" else -1
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    return depth == 0 and deepest <= _MAX_DEPTH


def _only_both_unsolvable(gold: Any, answer: Any) -> bool:
    """math-verify takes any two equations without a solution for the same."""
    ratio = simplify((gold.lhs - gold.rhs) / (answer.lhs - answer.rhs))
    return not (ratio.is_number and ratio.is_nonzero) and not solve(gold, gold.free_symbols)
