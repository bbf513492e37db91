"""Is an answer equal to a gold? Both are taken apart together, down to what numbers, words or algebra can say.

The rules, in order: the same text is equal; numbers are compared exactly; `\\pm` stands for two values; brackets, lists
and matrices are compared part by part; `x = ` before a value counts only where both sides have one; words are compared
as text; the rest is algebra. An answer that leaves the work to the grader is not finished, whatever its value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mopd_verifiers.math import algebra
from mopd_verifiers.math.numbers import read_number, same_base, same_number
from mopd_verifiers.math.shapes import Shape, sides, split
from mopd_verifiers.math.spelling import key
from mopd_verifiers.math.words import choice_letter, may_be_product, phrase

_NAME = re.compile(
    r"(?:[A-Za-z]|\\(?!pi\b)[A-Za-z]+)(?:_(?:\w|\{\w+\}))?'*(?:\s?\([A-Za-z0-9, ]*\))?"
    r"|\((?:[A-Za-z],? ?){2,}\)|\|[A-Za-z]+\|"
)
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_MINUS_PLUS = re.compile(r"\\mp(?![A-Za-z])")
_ARITHMETIC = re.compile(r"(?:[0-9.,\s+*/(){}-]|\\(?:times|cdot|div|frac)(?![A-Za-z]))+")
_UNDONE = re.compile(r"\\(?:i{0,3}nt|oint|sum|prod|lim|gcd|lcm|det)(?![A-Za-z])|\\frac\s?\{\s?d\s?\}")


class UnreadableError(Exception):
    """The answer is not mathematics."""


class UnfinishedError(Exception):
    """The answer is work for the grader: `12 \\cdot 34` for a number, or an integral."""


def equal(gold: str, answer: str) -> bool:
    """Compare two normal texts. Raises for an answer that cannot be read or is not finished."""
    if key(gold) == key(answer):
        return True
    numbers = read_number(gold), read_number(answer)
    if numbers[0] and numbers[1]:
        return same_number(numbers[0], numbers[1])
    if (letter := choice_letter(gold)) and choice_letter(answer) == letter:
        return True
    if _has_two_signs(gold + answer):
        return _unordered(_values(gold), _values(answer))
    shapes = split(gold), split(answer)
    bare = shapes[0].bare(gold), shapes[1].bare(answer)
    if bare != (gold, answer):
        return equal(*bare)
    if shapes[0].kind == shapes[1].kind == "leaf":
        return _equal_leaves(gold, answer)
    return _equal_shapes(*shapes, gold, answer)


def readable(gold: str) -> bool:
    """Whether a gold means anything: every part of it is a number, a word or an expression."""
    if read_number(gold) or phrase(gold) or choice_letter(gold):
        return True
    if _has_two_signs(gold):
        return all(map(readable, _values(gold)))
    shape = split(gold)
    if shape.kind != "leaf":
        return all(map(readable, shape.parts))
    return same_base(gold, "") is not None or algebra.read_gold(gold) is not None


def _equal_shapes(gold: Shape, answer: Shape, gold_text: str, answer_text: str) -> bool:
    kinds = {gold.kind, answer.kind}
    forms = {gold.form, answer.form}
    if kinds == {"matrix"} or (kinds == {"group"} and len(forms) == 1 and not gold.is_unordered):
        return gold.form == answer.form and _ordered(gold.parts, answer.parts)
    if kinds == {"list", "group"} and "()" in forms:
        return _ordered(gold.parts, answer.parts)
    if kinds <= {"list", "group"}:
        return gold.is_unordered and answer.is_unordered and _unordered(gold.parts, answer.parts)
    if kinds == {"union"} and _unordered(gold.parts, answer.parts):
        return True
    for shape in (gold, answer):
        if "leaf" in kinds and shape.form == "{}" and len(shape.parts) == 1:
            return equal(*(shape.parts[0], answer_text) if shape is gold else (gold_text, shape.parts[0]))
    for shape, text in ((gold, gold_text), (answer, answer_text)):
        if shape.kind == "leaf" and len(sides(text)) > 1:
            return _equal_leaves(gold_text, answer_text)
        if shape.kind == "leaf" and (read_number(text) or phrase(text)):
            return False
    return "list" not in kinds and _equal_algebra(gold_text, answer_text)


def _equal_leaves(gold: str, answer: str) -> bool:
    gold_sides, answer_sides = sides(gold), sides(answer)
    if len(answer_sides) > 1 and len(gold_sides) == 1:
        return equal(gold, _value(answer_sides, answer, gold))
    if len(gold_sides) > 1 and _NAME.fullmatch(gold_sides[0]):
        if len(answer_sides) == 1:
            return equal(_value(gold_sides, gold), answer)
        if key(gold_sides[0]) == key(answer_sides[0]):
            return equal(_value(gold_sides, gold), _value(answer_sides, answer, gold))
    in_base = same_base(gold, answer)
    if in_base is not None:
        return in_base
    words = phrase(gold), phrase(answer)
    if (words[0] and words[1]) or any(text and not may_be_product(text) for text in words):
        return words[0] == words[1]
    return _equal_algebra(gold, answer)


def _value(equation_sides: Sequence[str], equation: str, gold: str = "") -> str:
    """What an equation says in the end: of `x = \\sqrt{2} \\approx 1.41` what is exact, but not for a decimal gold."""
    if (number := read_number(gold)) and number.is_decimal:
        return equation_sides[-1]
    exact = sides(equation.split("\\approx")[0].strip())
    return exact[-1] if len(exact) > 1 or not _NAME.fullmatch(exact[0]) else equation_sides[-1]


def _equal_algebra(gold: str, answer: str) -> bool:
    numbers = read_number(gold), read_number(answer)
    if _UNDONE.search(answer) and not _UNDONE.search(gold):
        raise UnfinishedError
    expressions = algebra.read_gold(gold), algebra.read(answer)
    if expressions[1] is None:
        raise UnreadableError
    if numbers[0] and _ARITHMETIC.fullmatch(answer):
        raise UnfinishedError
    for number, expression in zip(numbers, reversed(expressions), strict=True):
        if number and number.is_decimal and (near := algebra.near(expression, number)) is not None:
            return near
    return expressions[0] is not None and algebra.same(*expressions)


def _ordered(gold: Sequence[str], answer: Sequence[str]) -> bool:
    return len(gold) == len(answer) and all(map(equal, gold, answer))


def _unordered(gold: Sequence[str], answer: Sequence[str]) -> bool:
    """Each part of one side has its partner on the other. Where one side names its values (`x = 1`), in order."""
    if _named(gold) != _named(answer):
        return _ordered(gold, answer)
    left = list({key(part): part for part in answer}.values())
    wanted = {key(part): part for part in gold}.values()
    if len(left) != len(wanted):
        return False
    for part in wanted:
        partner = next((other for other in left if equal(part, other)), None)
        if partner is None:
            return False
        left.remove(partner)
    return True


def _named(parts: Sequence[str]) -> bool:
    """Whether each part says what it is the value of, and each of something else."""
    names = [found[0] for part in parts if len(found := sides(part)) > 1 and _NAME.fullmatch(found[0])]
    return len(parts) > 1 and len(set(names)) == len(parts)


def _values(text: str) -> list[str]:
    """The parts of a list or a set (or else the text), each `\\pm` in them written out as two."""
    shape = split(text)
    parts = shape.parts if shape.kind == "list" or shape.form == "{}" else (text,)
    return [value for part in parts for value in _both_signs(part)]


def _both_signs(text: str) -> Sequence[str]:
    if not _has_two_signs(text):
        return [text]
    return [_MINUS_PLUS.sub(f" {other}", _PLUS_MINUS.sub(f" {sign}", text)).strip() for sign, other in ("+-", "-+")]


def _has_two_signs(text: str) -> bool:
    return bool(_PLUS_MINUS.search(text) or _MINUS_PLUS.search(text))
