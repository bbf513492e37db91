"""Which marker states the final answer: `####`, `Answer:` or `answer is`. Looks at the last `_MAX_MARKERS` only.

What follows a marker either *states* an answer (a digit, LaTeX, a symbol, a number word, a retraction), or *names* one
in words ("blue"), or only *remarks* on one ("clear"). The last marker counts that does not remark, with one exception:
`####` is not displaced by what a later prose marker names. So a stated answer always displaces an earlier one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Literal, NamedTuple

_MAX_MARKERS = 100
_MAX_LEAD_CHARS = 40
_LEADING = " \t\r\n:*_"
_MARKER = re.compile(r"####+|\banswer(?:\s+is\b|\s*:)", re.IGNORECASE)
_EMPHASIS = (
    re.compile(r"(?<![^\s(:\"'])(\*{1,3})(?=[^\s*])([^*\n]*[^\s*])\1(?![\w*])"),
    re.compile(r"(?<![^\s(:\"'])(_{1,3})(?=[^\s_])([^_\n]*[^\s_])\1(?!\w)"),
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)")
_HEADING = re.compile(
    r"(?:step|part|case|(?:the\s+)?(?:final\s+)?(?:answer|solution|result)|conclusion|verification|explanation)\b",
    re.IGNORECASE,
)
_FORMAL = re.compile(r"[\d\\$=+^<>%|π∞√]|\A\W*[A-Za-z]{1,2}\W*\Z")
_TELLING = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred|thousand|million|billion|half|third|quarter|dozen"
    r"|not?|none|nothing|never|neither|wrong|incorrect|false|undefined|impossible|unknown|empty|infinit[ey]|negative)\b",
    re.IGNORECASE,
)
_REMARK = (
    r"(?:(?:now|indeed|thus|also|very|quite|really|definitely|certainly|clearly|therefore|perfectly)\s+)*"
    r"(?:clear|correct|right|helpful|useful|valid|reasonable|sensible|plausible|verified|confirmed|checked|consistent"
    r"|complete|accurate|satisfactory|good|fine|okay|understandable|easy|simple|unique|exact|final|boxed|shown|given"
    r"|found|obtained|stated|written|derived|above|below|here|what|as|in|that|to|because|since|the|an?)\b"
)
_REMARKS = re.compile(_REMARK, re.IGNORECASE)
_REASONS = re.compile(_REMARK + r"\s*,?\s*(?:because|since)\b", re.IGNORECASE)
_WISH = re.compile(r"\b(?:hope|if|whether)\s+(?:(?!then\b)\w+\s+){0,3}\Z", re.IGNORECASE)
_OF_EARLIER = re.compile(r"\b(?:this|that)\s+(?:final\s+)?\Z", re.IGNORECASE)

_Weight = Literal["states", "names", "remarks", "no answer"]


class _Marked(NamedTuple):
    """A marker's first line that is not empty, the marker, and up to `_MAX_LEAD_CHARS` characters before it."""

    line: str
    marker: str
    lead: str
    start: int


def without_emphasis(text: str) -> str:
    """The text without pairs of Markdown's stars and underscores; those of a product or an index stay."""
    for pairs in _EMPHASIS:
        text = pairs.sub(r"\2", text)
    return text


class MarkedLine(NamedTuple):
    """The line that begins with the final answer, empty where no marker counts; then it stands before `start`."""

    line: str
    start: int | None = None


def marked_line(text: str, max_chars: int) -> MarkedLine:
    """The line, of at most `max_chars` characters, that a marker says holds the answer.

    A remark alone ("x = 5. The answer is correct.") is about what was said before it, if there was anything formal.
    """
    named = ""
    remarked: _Marked | None = None
    for marked in _last_first(text, max_chars):
        weight = _weigh(marked)
        if weight in ("states", "names") and marked.marker.startswith("#"):
            return MarkedLine(marked.line)
        if weight == "states":
            return MarkedLine(named or marked.line)
        if weight == "names":
            named = named or marked.line
        if weight == "remarks":
            remarked = remarked or marked
    if named or remarked is None:
        return MarkedLine(named)
    if _FORMAL.search(text, max(0, remarked.start - max_chars), remarked.start):
        return MarkedLine("", remarked.start)
    return MarkedLine(remarked.line)


def _last_first(text: str, max_chars: int) -> Iterator[_Marked]:
    for match in reversed(deque(_MARKER.finditer(text), maxlen=_MAX_MARKERS)):
        rest = text[match.end() : match.end() + max_chars].lstrip(_LEADING)
        if rest:
            lead = text[max(0, match.start() - _MAX_LEAD_CHARS) : match.start()]
            yield _Marked(rest.split("\n", 1)[0], match[0], lead, match.start())


def _weigh(marked: _Marked) -> _Weight:
    """What the marker's sentence does. A remark counts where nothing else is marked: a gold may be "right"."""
    sentence = _SENTENCE_END.split(marked.line, maxsplit=1)[0]
    if marked.marker.startswith("#"):
        if _HEADING.match(sentence):
            return "no answer"
        return "states" if _FORMAL.search(sentence) else "names"
    if _FORMAL.search(sentence) and not _REASONS.match(sentence):
        return "states"
    if _WISH.search(marked.lead):
        return "no answer"
    if _TELLING.search(sentence) and not _REASONS.match(sentence):
        return "states"
    remark, of_earlier = _REMARKS.match(sentence), _OF_EARLIER.search(marked.lead)
    if remark and of_earlier:
        return "no answer"
    return "remarks" if remark or of_earlier else "names"
