"""Tags in a response: each opened and closed once, one after the other. Time is linear in the response's length."""

from __future__ import annotations

from collections.abc import Sequence


def tag_problem(response: str, tags: Sequence[str]) -> str | None:
    """What is wrong with the tags of a response, as a sentence; None where nothing is."""
    end, last = 0, ""
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        for mark in (opening, closing):
            if (count := response.count(mark)) != 1:
                return f"{mark} has to stand in the response exactly once; it stands there {count} times."
        start, stop = response.index(opening), response.index(closing)
        if start < end:
            return f"{opening} has to come after {last}."
        if stop < start:
            return f"{closing} has to come after {opening}."
        if not response[start + len(opening) : stop].strip():
            return f"There is nothing between {opening} and {closing}."
        end, last = stop, closing
    return None
