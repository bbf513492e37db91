"""The teacher's prompt: the question, blocks with peers and feedback, and a closing instruction, in one user message.

Only the last user message changes. `ContextConfig` holds the wording; `render_question` puts the pieces together. How
long the whole may be is `budget`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator

from mopd_core.config.base import ConfigModel
from mopd_core.errors import DataError
from mopd_core.types import Message

_PLACEHOLDER = re.compile(r"\{(question|text|context)\}")

Tag = Annotated[str, Field(min_length=1)]


class ContextConfig(ConfigModel):
    """What the teacher's prompt looks like. Braces other than the named placeholders are plain text."""

    max_prompt_tokens: int = Field(default=10240, ge=1)
    """Longest teacher prompt, in tokens, response excluded. Peer texts are trimmed to fit; the question never is."""

    strip_thinking: bool = True
    """Remove thinking spans from every peer's text, successes and failures alike."""

    thinking_tags: tuple[Tag, Tag] = ("<think>", "</think>")
    """What opens and closes a thinking span."""

    summary_tags: tuple[Tag, Tag] = ("<summary>", "</summary>")
    """What opens and closes a rollout's summary of itself; the last such span counts."""

    summary_request: str = ""
    """Asks for that summary: a paragraph after the student's question (the teacher reads it too). Empty: not asked."""

    feedback: bool = False
    """Show the teacher the verifier's feedback on the target, where there is any."""

    template: str = "{question}\n\n{context}"
    """The whole last user message. `{question}` is the original text, `{context}` the blocks and the instruction."""

    success: str = "A solution that was checked and is right:\n{text}"
    """A block with a successful peer; `{text}` is its response."""

    failure: str = "A solution that was checked and is wrong:\n{text}"
    """A block with a failed peer."""

    summary_success: str = "The idea of a solution that was checked and is right:\n{text}"
    """A block with a successful peer's summary."""

    summary_failure: str = "The idea of a solution that was checked and is wrong:\n{text}"
    """A block with a failed peer's summary."""

    feedback_block: str = "What a check said about an earlier attempt:\n{text}"
    """A block with the verifier's feedback."""

    instruction: str = "Now solve the original question yourself, step by step and correctly."
    """The closing instruction, after the blocks."""

    trim_mark: str = " [...] "
    """Stands where the middle of a peer's text was cut."""

    @field_validator("template")
    @classmethod
    def _has_both(cls, value: str) -> str:
        for name in ("{question}", "{context}"):
            if value.count(name) != 1:
                raise ValueError(f"must hold {name} exactly once")
        return value

    @field_validator("success", "failure", "summary_success", "summary_failure", "feedback_block")
    @classmethod
    def _has_text(cls, value: str) -> str:
        if value.count("{text}") != 1:
            raise ValueError("must hold {text} exactly once")
        return value

    @field_validator("trim_mark")
    @classmethod
    def _is_visible(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must hold something that is seen")
        return value


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of context before it is worded: its kind (a key of the wording in `render_context`), and its text."""

    kind: str
    text: str


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values in a template's placeholders in one pass, so that braces inside a value stay what they are."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def strip_thinking(text: str, tags: tuple[str, str]) -> str:
    """Remove thinking spans; one that never closes runs to the end, one that never opened starts at the beginning."""
    opening, closing = (re.escape(tag) for tag in tags)
    text = re.sub(rf"{opening}.*?(?:{closing}|\Z)", "", text, flags=re.DOTALL)
    return re.sub(rf"\A.*{closing}", "", text, flags=re.DOTALL).strip()


def extract_summary(text: str, tags: tuple[str, str]) -> str | None:
    """What the last summary span of a response holds; None without a span or with an empty one."""
    opening, closing = (re.escape(tag) for tag in tags)
    spans = re.findall(rf"{opening}((?:(?!{opening}).)*?){closing}", text, flags=re.DOTALL)
    return (spans[-1].strip() or None) if spans else None


def last_user(messages: Sequence[Message]) -> int:
    """The place of the last user message. Raises `DataError` where there is none."""
    for place in reversed(range(len(messages))):
        if messages[place]["role"] == "user":
            return place
    raise DataError(
        f"a conversation of roles {[message['role'] for message in messages]} has no user message, and that is where "
        "the question stands; give every prompt one"
    )


def request_summary(config: ContextConfig, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The student's messages with the request for a summary after the question; unchanged where none is asked for."""
    if not config.summary_request:
        return tuple(messages)
    last = last_user(messages)
    return _replaced(messages, last, f"{messages[last]['content']}\n\n{config.summary_request}")


def render_context(config: ContextConfig, blocks: Sequence[Block]) -> str:
    """Word the blocks in the order given and close with the instruction."""
    wording = {
        "success": config.success,
        "failure": config.failure,
        "summary-success": config.summary_success,
        "summary-failure": config.summary_failure,
        "feedback": config.feedback_block,
    }
    worded = [fill(wording[block.kind], {"text": block.text}) for block in blocks]
    return "\n\n".join([*worded, config.instruction])


def render_question(config: ContextConfig, messages: Sequence[Message], blocks: Sequence[Block]) -> tuple[Message, ...]:
    """The teacher's messages: the student's, with the context in the last user message. Without blocks, unchanged."""
    return render_instructed(config, messages, blocks) if blocks else tuple(messages)


def render_instructed(
    config: ContextConfig, messages: Sequence[Message], blocks: Sequence[Block]
) -> tuple[Message, ...]:
    """As `render_question`, but with the instruction even where there is no block: the least a budget must hold."""
    last = last_user(messages)
    values = {"question": messages[last]["content"], "context": render_context(config, blocks)}
    return _replaced(messages, last, fill(config.template, values))


def _replaced(messages: Sequence[Message], place: int, content: str) -> tuple[Message, ...]:
    return (*messages[:place], Message(role=messages[place]["role"], content=content), *messages[place + 1 :])
