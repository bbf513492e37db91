"""One row of a table to one prompt: messages, reference, id, verifier. Every complaint names the file and the row.

A new thing that a row can say is a column in `table_config.Columns` and a function here.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from mopd_core.data.rows import Row
from mopd_core.data.table_config import TableConfig
from mopd_core.errors import DataError
from mopd_core.types import Json, Message, Prompt


def to_prompt(row: Row, config: TableConfig) -> Prompt:
    """Map a row as the config says. Raises `DataError` for a cell that cannot be used."""
    columns = config.columns
    return Prompt(
        id=row.id if columns.id is None else _id(row, columns.id),
        messages=_messages(row, config),
        reference=None if columns.reference is None else _reference(row, columns.reference, config.reference_pattern),
        verifier=None if columns.verifier is None else _optional_text(row, columns.verifier),
    )


def _messages(row: Row, config: TableConfig) -> tuple[Message, ...]:
    value = row.cells.get(config.columns.prompt)
    if isinstance(value, list) and value:
        messages = [_message(row, number, item) for number, item in enumerate(value, start=1)]
    elif isinstance(value, str) and value.strip():
        messages = [Message(role="user", content=value)]
    else:
        _refuse(row, config.columns.prompt, f"is {_shown(value)}; allowed: text that is not empty, or chat messages")
    system = config.system if config.columns.system is None else _optional_text(row, config.columns.system)
    return tuple(_with_system(row, config, system, _with_template(row, config, messages)))


def _message(row: Row, number: int, item: Json) -> Message:
    if not isinstance(item, dict):
        raise DataError(f"{row.where}: message {number} is {_shown(item)}; allowed: an object with role and content")
    others = [key for key, value in item.items() if key not in ("role", "content") and value is not None]
    if others:
        raise DataError(f"{row.where}: message {number} also has {', '.join(others)}; allowed: role and content")
    role, content = item.get("role"), item.get("content")
    if not (isinstance(role, str) and role and isinstance(content, str)):
        raise DataError(f"{row.where}: message {number} needs a role and a content that are text; got {_shown(item)}")
    return Message(role=role, content=content)


def _with_template(row: Row, config: TableConfig, messages: list[Message]) -> list[Message]:
    """Put the last user message into the template."""
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if not users or messages[-1]["role"] == "assistant":
        _refuse(row, config.columns.prompt, "needs a user message, and must end before the assistant's answer")
    text = config.prompt_template.replace("{prompt}", messages[users[-1]]["content"])
    return [*messages[: users[-1]], Message(role="user", content=text), *messages[users[-1] + 1 :]]


def _with_system(row: Row, config: TableConfig, system: str | None, messages: list[Message]) -> list[Message]:
    if system is None:
        return messages
    if messages[0]["role"] == "system":
        _refuse(
            row, config.columns.prompt, "starts with a system message; leave data.system and data.columns.system out"
        )
    return [Message(role="system", content=system), *messages]


def _reference(row: Row, column: str, pattern: str | None) -> Json:
    value = row.cells.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        _refuse(
            row, column, f"is {_shown(value)}, and the verifier needs a reference; data.columns.reference=null if not"
        )
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{row.where}: column {column!r} is {_shown(value)}, which JSON cannot hold: {error}"
        ) from error
    return value if pattern is None else _last_match(row, column, pattern, value)


def _last_match(row: Row, column: str, pattern: str, value: Json) -> str:
    if not isinstance(value, str):
        _refuse(row, column, f"is {_shown(value)}, and data.reference_pattern searches text")
    found = [match[1] for match in re.finditer(pattern, value)]
    if not found or not (found[-1] or "").strip():
        _refuse(row, column, f"has no match for data.reference_pattern {pattern!r}; it ends in {value[-60:]!r}")
    return found[-1].strip()


def _id(row: Row, column: str) -> str:
    value = row.cells.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        _refuse(row, column, f"is {_shown(value)}; allowed as an id: text or a whole number")
    return str(value)


def _optional_text(row: Row, column: str) -> str | None:
    value = row.cells.get(column)
    if value is not None and not isinstance(value, str):
        _refuse(row, column, f"is {_shown(value)}; allowed: text, or nothing")
    return value or None


def _refuse(row: Row, column: str, what: str) -> NoReturn:
    raise DataError(f"{row.where}: column {column!r} {what}")


def _shown(value: object) -> str:
    """A value in a message: what it is, and not more than a glimpse of it."""
    if value is None:
        return "missing"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
