"""Finds the candidate's files in a response: blocks with a file's name, and the program of a response without any.

A name is a relative path to a `.py` file. It stands in the block's info string (```` ```python shop/cart.py ````, also
after `:`, `=` or in quotes), alone on the line above (also in bold, in backticks, or as a heading), or in a comment on
the block's first line. The last block of a name counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mopd_verifiers.code.extract import extract
from mopd_verifiers.fences import Block, blocks
from mopd_verifiers.thinking import without_thinking
from mopd_verifiers.unit_tests.references import module_files

_PATH = r"(?P<path>(?:[^\W\d]\w*/){0,8}[^\W\d]\w*\.py)(?![\w./-])"
_IN_INFO = re.compile(rf"(?:^|[\s:=\"'{{(]){_PATH}")
_ABOVE = re.compile(rf"[#*_`>\s\d.)-]*+(?:file(?:name)?\s*:?\s*)?[`*\"']*{_PATH}[`*\"':\s]*", re.IGNORECASE)
_COMMENT = re.compile(rf"\s*#\s*(?:file(?:name)?\s*:?\s*)?{_PATH}\s*", re.IGNORECASE)
_MAX_LINE_CHARS = 300


def find_sources(response: str, modules: Sequence[str], *, require_fence: bool) -> dict[str, str]:
    """The candidate's files by relative path; empty where the response holds no program.

    What has no name of its own is the first module, unless a block has that name.
    """
    own, *_ = candidates = module_files(modules[0])
    named, unnamed = _sorted(without_thinking(response).replace("\r\n", "\n"))
    if not named:
        whole = extract(response)
        return {} if whole is None or (require_fence and not whole.fenced) else {own: whole.source}
    if unnamed and named.keys().isdisjoint(candidates):
        named[own] = max(unnamed, key=lambda block: block.preference).held
    return named


def _sorted(said: str) -> tuple[dict[str, str], list[Block]]:
    """The sources of blocks with a name, and the blocks without."""
    named: dict[str, str] = {}
    unnamed = []
    for block in blocks(said):
        source = block.held
        if path := _path(block, source):
            named[path] = source
        elif source.strip():
            unnamed.append(block)
    return named, unnamed


def _path(block: Block, source: str) -> str | None:
    before = block.opening.string[max(0, block.start - _MAX_LINE_CHARS) : block.start]
    above = before.rstrip().rpartition("\n")[2]
    first = source[:_MAX_LINE_CHARS].lstrip("\n").partition("\n")[0]
    found = _IN_INFO.search(block.tag[:_MAX_LINE_CHARS]) or _ABOVE.fullmatch(above) or _COMMENT.fullmatch(first)
    return found["path"] if found else None
