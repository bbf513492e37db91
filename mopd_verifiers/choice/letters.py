"""Which letters a short text gives as its answer: `B`, `(b)`, `B. Paris`, `option B`, `A and C`.

Letters in words, the articles "A" and "I", formulas and initials are what has to be told apart here. Where an answer
stands in a response is for `answers`.
"""

from __future__ import annotations

import re
import unicodedata

MAX_ANSWER_CHARS = 4000
"""What is longer is not an answer."""

_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|mathsf|textbf|textrm|textit|mbox|rm|bf|q?quad)(?![A-Za-z])")
_LATEX_SPACE = re.compile(r"\\[ ,;!()\[\]]|~")
_DECORATION = re.compile(r"[*`$\"“”{}]")
_LEAD = re.compile(
    r"(?:the\s+)?(?:(?:correct|right|best|final)\s+){0,2}(?:answer|option|choice)s?\b\s*(?:(?:is|are)\b)?[\s:]*",
    re.IGNORECASE,
)
_MAX_LEADS = 3
_WORD = re.compile(r"[^\W_]+")
_JOINS = frozenset({"and", "or"})
_LIST = re.compile(r"[A-Za-z\s,;/&+|.:()\[\]]+")
_LABEL_OF_LETTER = re.compile(r"([A-Z]): [A-Z]\.?")
_RUN = re.compile(r"\W*([A-Z]{2,26})\W*")
_REASON = r"\s+(?:because|since|as|which|with|for)\b"
_FIRST = re.compile(
    r"[(\[]\s?(?P<closed>[A-Za-z])\s?[)\]]"
    r"|(?P<labelled>[A-Za-z])(?=[):]|\.(?:\s|\Z))"
    r"|(?P<bare>[A-Z])(?=\Z|[,;!?.](?:\s|\Z)|\s*(?:[/&+]|[-–—]\s|\n)|\s+\(|\s+(?:and|or)\b"
    rf"|{_REASON})"
)
_NEXT = re.compile(
    r"\s*(?:[),;/&+]\s*(?:(?:and|or)\b\s*)?|\b(?:and|or)\b\s*)(?:\((?P<closed>[A-Z])\)"
    rf"|(?P<bare>[A-Z])(?=\Z|\s*(?:[,;/&+).:!?\n]|(?:and|or)\b|\Z)|{_REASON}))"
)
_LABEL = re.compile(r"(?<=[\s,;/])(?:\(([A-Z])\)(?=\s+[^a-z\s]|\s*\Z)|([A-Z])[):](?=\s|\Z)|([A-Z])\.(?=\s+\S))")


def letters_of(answer: str) -> frozenset[str]:
    """The capital letters that a whole answer gives, later labels such as the `B.` of `A. Paris B. Rome` included."""
    plain = _plain(answer)
    if listed := _listed(plain):
        return listed
    first, end = _leading(plain)
    return first | _captured(_LABEL.findall(plain, end)) if first else first


def letters_at_start(prose: str) -> frozenset[str]:
    """The capital letters that prose begins with, whatever it goes on to say: B in `B, because (A) is too small`."""
    plain = _plain(prose)
    return _listed(plain) or _leading(plain)[0]


def _plain(text: str) -> str:
    """The text without LaTeX, Markdown and full-width forms, and without what introduces an answer."""
    text = unicodedata.normalize("NFKC", text[: MAX_ANSWER_CHARS + 1])
    if len(text) > MAX_ANSWER_CHARS:
        return ""
    text = _LATEX_SPACE.sub(" ", _LATEX.sub("", text))
    text = _DECORATION.sub("", text).strip().strip("_").strip()
    for _ in range(_MAX_LEADS):
        lead = _LEAD.match(text)
        text = text[lead.end() :] if lead else text
    return text


def _listed(text: str) -> frozenset[str]:
    """The letters of a text that holds nothing but letters, as `A, C`, `A or C` or `AC`; else none.

    `A: I` is an option with its text, iodine.
    """
    if labelled := _LABEL_OF_LETTER.fullmatch(text):
        return frozenset(labelled[1])
    words = [word for word in _WORD.findall(text) if word not in _JOINS] if _LIST.fullmatch(text) else []
    if words and all(len(word) == 1 for word in words):
        return frozenset(word.upper() for word in words)
    run = _RUN.fullmatch(text)
    return frozenset(run[1]) if run and len(set(run[1])) == len(run[1]) else frozenset()


def _leading(text: str) -> tuple[frozenset[str], int]:
    """The letters at the text's start, as in `B: 1.69` or `A and C because`, and where they end."""
    match = _FIRST.match(text)
    if match is None:
        return frozenset(), 0
    letters, end = set(), 0
    while match is not None:
        letters.add((match["closed"] or match["bare"] or match.groupdict().get("labelled") or "").upper())
        end = match.end()
        match = _NEXT.match(text, end)
    return frozenset(letters), end


def _captured(found: list[tuple[str, ...]]) -> frozenset[str]:
    return frozenset("".join(groups) for groups in found)
