"""What a text is made of on its top level: brackets with parts in them, a list, a union, a matrix, or nothing of that.

Inside brackets every comma separates; outside, `1,080` is one number. A new kind of container gets its case in
`split`, and its rule in `compare`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_TOKENS = r"(?P<open>\\begin(?![A-Za-z])|\\\{|[({{\[])|(?P<close>\\end(?![A-Za-z])|\\\}|[)}\]])"
_COMMAS = re.compile(_TOKENS + r"|(?P<cut>\s?[,;]?\s(?:and|or)(?=\s)|[,;])|\\.", re.DOTALL)
_UNIONS = re.compile(_TOKENS + r"|(?P<cut>\\cup(?![A-Za-z]))|\\.", re.DOTALL)
_EQUALS = re.compile(_TOKENS + r"|(?P<cut>=+|\\in(?![A-Za-z])|\\approx(?![A-Za-z]))|\\.", re.DOTALL)
_GROUPED = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
_MATRIX = re.compile(
    r"[(\[]?\s?\\begin\{(?P<name>[pbBvV]?matrix|array)\}(?P<body>.*)\\end\{(?P=name)\}\s?[)\]]?", re.DOTALL
)
_COLUMNS = re.compile(r"\s?\{[clr| ]*\}")
_PAIRS = ("()", "(]", "[)", "[]")

Kind = Literal["leaf", "list", "group", "union", "matrix"]


@dataclass(frozen=True, slots=True)
class Shape:
    """parts: of a list, a group or a union; of a matrix, its cells row by row. form: `(]`, `{}`, or rows by columns."""

    kind: Kind
    parts: tuple[str, ...] = ()
    form: str = ""

    @property
    def is_unordered(self) -> bool:
        """Whether the order of its parts means nothing."""
        return self.kind in ("list", "union") or self.form == "{}"

    def bare(self, text: str) -> str:
        """The text that this is the shape of, without parentheses around a single thing."""
        return self.parts[0] if self.kind == "leaf" else text


def split(text: str) -> Shape:
    """The shape of a normal text. Parentheses around a single thing are taken off first."""
    if matrix := _MATRIX.fullmatch(text):
        return _matrix(text, matrix["name"], matrix["body"])
    while (form := _enclosing(text)) == "()" and len(_cut(text[1:-1], _COMMAS)) == 1:
        text = text[1:-1].strip()
    if form:
        inner = text[2:-2] if form == "{}" else text[1:-1]
        return _unless_empty(text, Shape("group", tuple(_cut(inner, _COMMAS)), form))
    grouped = [span.span() for span in _GROUPED.finditer(text)] if "," in text else []
    if len(parts := _cut(text, _COMMAS, grouped)) > 1:
        return _unless_empty(text, Shape("list", tuple(parts)))
    if len(parts := _cut(text, _UNIONS)) > 1:
        return _unless_empty(text, Shape("union", tuple(parts)))
    return Shape("leaf", (text,))


def sides(text: str) -> list[str]:
    """What stands between the equals signs (also `\\in` and `\\approx`) of a normal text."""
    return _cut(text, _EQUALS)


def _unless_empty(text: str, shape: Shape) -> Shape:
    return shape if all(shape.parts) else Shape("leaf", (text,))


def _matrix(text: str, name: str, body: str) -> Shape:
    if name == "array":
        body = _COLUMNS.sub("", body, count=1)
    rows = [row.split("&") for row in body.strip().removesuffix("\\\\").split("\\\\")]
    cells = tuple(cell.strip() for row in rows for cell in row)
    if len({len(row) for row in rows}) > 1:
        return Shape("leaf", (text,))
    bars = name[0] if name[0] in "vV" else ""
    return _unless_empty(text, Shape("matrix", cells, f"{bars}{len(rows)}x{len(rows[0])}"))


def _enclosing(text: str) -> str:
    """The brackets that hold the whole text: `()`, `[)`, `{}` for a set; empty where none do."""
    first, last = text[:2] if text.startswith("\\{") else text[:1], text[-2:] if text.endswith("\\}") else text[-1:]
    form = (first + last).replace("\\", "")
    if form not in _PAIRS and (first, last) != ("\\{", "\\}"):
        return ""
    depth = 0
    for token in _COMMAS.finditer(text):
        depth += bool(token["open"]) - bool(token["close"])
        if depth == 0 and token["close"]:
            return form if token.end() == len(text) else ""
    return ""


def _cut(text: str, separator: re.Pattern[str], whole: list[tuple[int, int]] | None = None) -> list[str]:
    """The text cut at separators outside all brackets, and outside the spans that are `whole`."""
    parts, start, depth = [], 0, 0
    for token in separator.finditer(text):
        depth = max(0, depth + bool(token["open"]) - bool(token["close"]))
        inside = any(first < token.start() < last for first, last in whole or ())
        if token["cut"] and depth == 0 and not inside:
            parts.append(text[start : token.start()].strip())
            start = token.end()
    return [*parts, text[start:].strip()]
