"""The options of the verifier `format`."""

from __future__ import annotations

import re
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from mopd_core.config.base import PluginConfig

_TAG_NAME = re.compile(r"[A-Za-z][\w.:-]*")


class FormatConfig(PluginConfig):
    """The form of the response: tags in order, and a regular expression; a part for `combine`.

    Reward 1 for a response of that form, else 0; the reference is not looked at. As a part of a weighted sum it is a
    format penalty, and as a part of `all` a condition.
    """

    result_neutral: ClassVar[frozenset[str]] = frozenset({"workers"})

    tags: tuple[str, ...] = ()
    """Names of tags, such as [think, answer]: each has to be opened and closed exactly once, one after the other in
    this order, with something between."""

    pattern: str | None = None
    """A regular expression (Python's `re`) that has to be found in the response. Write `\\A` and `\\Z` around it for
    the whole response, and `(?s)` in front for a dot that takes line ends."""

    timeout_s: float = Field(default=2.0, gt=0)
    """Longest wall time that the pattern may take on one response, in seconds; a response that takes longer has
    failed."""

    workers: int = Field(default=1, ge=1)
    """Processes in which the pattern is looked for."""

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        for tag in tags:
            if not _TAG_NAME.fullmatch(tag):
                raise ValueError(f"{tag!r} is no name of a tag; write `think` for <think>...</think>")
        if len(set(tags)) < len(tags):
            raise ValueError("a tag is named twice; each stands once in a response")
        return tags

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"it is not a regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _check_something_asked(self) -> Self:
        if not self.tags and self.pattern is None:
            raise ValueError("neither tags nor a pattern is given, so that every response would do; give one, or both")
        return self
