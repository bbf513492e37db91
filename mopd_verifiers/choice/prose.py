"""The last resort: a letter in plain prose, as in `so it has to be B`. Off unless the config asks for it.

The last line that names letters decides. "A" and "I" are words more often than options, so that they count only in
parentheses, after "option", or before a colon, a bracket, another letter or the end of a sentence.
"""

from __future__ import annotations

import re
import unicodedata

_MAX_PROSE_CHARS = 20_000
_LETTER = re.compile(
    r"(?<![\w'’°.\-])(?:(?<=\()[A-Z](?=\))|(?<=[Oo]ption )[A-Z](?![\w'’\-])|(?<=[Cc]hoice )[A-Z](?![\w'’\-])"
    r"|[A-Z](?=[):]|[.!?]?\s*\Z|[.!?]\s|(?:,|\s(?:and|or))\s\(?[A-Z]\b)|A(?=\s(?:is|was|because|since)\b)|[B-HJ-Z](?![\w'’\-(=]))"
)


def letters_in_prose(text: str) -> frozenset[str]:
    """The capital letters that the last line with any names; nothing before the last 20,000 characters is read."""
    for line in reversed(text[-_MAX_PROSE_CHARS:].splitlines()):
        plain = unicodedata.normalize("NFKC", line).translate({ord(mark): None for mark in "*_`$"})
        if letters := frozenset(_LETTER.findall(plain.strip())):
            return letters
    return frozenset()
