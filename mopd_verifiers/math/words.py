"""Answers that are words: `no change`, `Evelyn`, a choice's letter. They are compared as text, in any case.

math-verify takes unknown words for products of their letters, so that `no` equals `on`.
"""

from __future__ import annotations

import re

_LETTER = re.compile(
    r"(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s)?(?:\\text\s?\{)?\s?(?:\((?P<inside>[A-Z])\)|(?P<bare>[A-Z])(?=\s?[.:)}]|\Z))"
    r"\s?\}?(?:\s?[.:)])?\s?(?P<rest>.*)",
    re.DOTALL,
)
_ANOTHER_LETTER = re.compile(r"(?<![A-Za-z\\])(?:[A-Z]|or|and|not)(?![A-Za-z])")
_TEXT = re.compile(r"\\text\s?\{([^{}]*)\}")
_PHRASE = re.compile(r"[^\W_]+(?:[ '’.&:-]+[^\W_]+)*")
_NO_WORDS = {
    *("sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log"),
    *("ln", "exp", "mod", "choose", "over", "and", "or", "gcd", "lcm", "max", "min", "det", "lim", "inf"),
}
_LONGEST_PRODUCT = 3


def choice_letter(text: str) -> str | None:
    """The letter of a choice: `C`, `(C)`, `C.`, `C: 12`, `(C) 12`; None where another letter is beside it."""
    match = _LETTER.fullmatch(text)
    if match is None or _ANOTHER_LETTER.search(match["rest"]):
        return None
    return match["inside"] or match["bare"]


def phrase(text: str) -> str | None:
    """The words of a normal text that is words, in lower case and without an article; None for anything else.

    Two or more letters are a word; one is a symbol. A word that names a function makes no phrase.
    """
    plain = " ".join(_TEXT.sub(r" \1 ", text).replace('"', " ").split()).strip(".")
    if not _PHRASE.fullmatch(plain):
        return None
    words = re.split(r"[ '’.&:-]+", plain.casefold())
    if not any(len(word) > 1 and word.isalpha() and word not in _NO_WORDS for word in words):
        return None
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def may_be_product(words: str) -> bool:
    """A phrase so short that it may be a product of symbols after all, beside something that is no phrase."""
    return len(words) <= _LONGEST_PRODUCT and words.isalpha()
