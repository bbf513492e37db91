"""One row of a table to one prompt: messages, reference, id, verifier. Every complaint names the file and the row.

A new thing that a row of any data set can say is a column in `table_config.Columns` and a function here; what the rows
of one published data set need is an `Adapter`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from mopd_core.data.cells import Cells, shown
from mopd_core.data.rows import Row
from mopd_core.data.table_config import TableConfig
from mopd_core.errors import DataError
from mopd_core.types import Json, Message, Prompt


def _prompt_cell(cells: Cells) -> Json:
    return cells.value("prompt")


def _reference_cell(value: Json, cells: Cells) -> Json:
    return value


@dataclass(frozen=True, slots=True)
class Adapter:
    """What the rows of a published data set need beyond a choice of columns: pure functions that raise `DataError`.

    prompt: a row's cells to the text, or messages, that go into the template. reference: what the column
    `columns.reference` holds, after `reference_pattern`, and the row's cells, to the reference. keeps: which rows are
    used; None for all.
    """

    prompt: Callable[[Cells], Json] = _prompt_cell
    reference: Callable[[Json, Cells], Json] = _reference_cell
    keeps: Callable[[Cells], bool] | None = None


PLAIN = Adapter()
"""The columns as they are."""


def to_prompt(row: Row, config: TableConfig, adapter: Adapter = PLAIN) -> Prompt:
    """Map a row as the config and the adapter say. Raises `DataError` for a cell that cannot be used."""
    cells, columns = Cells(row, config.columns), config.columns
    return Prompt(
        id=row.id if columns.id is None else _id(cells),
        messages=_messages(cells, config, adapter.prompt(cells)),
        reference=None
        if columns.reference is None
        else adapter.reference(_reference(cells, config.reference_pattern), cells),
        verifier=cells.optional_text("verifier"),
    )


def _messages(cells: Cells, config: TableConfig, value: Json) -> tuple[Message, ...]:
    if isinstance(value, list) and value:
        messages = [_message(cells, number, item) for number, item in enumerate(value, start=1)]
    elif isinstance(value, str) and value.strip():
        messages = [Message(role="user", content=value)]
    else:
        cells.refuse("prompt", f"is {shown(value)}; allowed: text that is not empty, or chat messages")
    system = config.system if config.columns.system is None else cells.optional_text("system")
    return tuple(_with_system(cells, system, _with_template(cells, config, messages)))


def _message(cells: Cells, number: int, item: Json) -> Message:
    where = cells.row.where
    if not isinstance(item, dict):
        raise DataError(f"{where}: message {number} is {shown(item)}; allowed: an object with role and content")
    others = [key for key, value in item.items() if key not in ("role", "content") and value is not None]
    if others:
        raise DataError(f"{where}: message {number} also has {', '.join(others)}; allowed: role and content")
    role, content = item.get("role"), item.get("content")
    if not (isinstance(role, str) and role and isinstance(content, str)):
        raise DataError(f"{where}: message {number} needs a role and a content that are text; got {shown(item)}")
    return Message(role=role, content=content)


def _with_template(cells: Cells, config: TableConfig, messages: list[Message]) -> list[Message]:
    """Put the last user message into the template."""
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if not users or messages[-1]["role"] == "assistant":
        cells.refuse("prompt", "needs a user message, and must end before the assistant's answer")
    text = config.prompt_template.replace("{prompt}", messages[users[-1]]["content"])
    return [*messages[: users[-1]], Message(role="user", content=text), *messages[users[-1] + 1 :]]


def _with_system(cells: Cells, system: str | None, messages: list[Message]) -> list[Message]:
    if system is None:
        return messages
    if messages[0]["role"] == "system":
        cells.refuse("prompt", "starts with a system message; leave data.system and data.columns.system out")
    return [Message(role="system", content=system), *messages]


def _reference(cells: Cells, pattern: str | None) -> Json:
    value = cells.value("reference")
    if value is None or (isinstance(value, str) and not value.strip()):
        cells.refuse(
            "reference",
            f"is {shown(value)}, and the verifier needs a reference; data.columns.reference=null if not",
        )
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{cells.row.where}: column {cells.columns.reference!r} is {shown(value)}, which JSON cannot hold: {error}"
        ) from error
    return value if pattern is None else _last_match(cells, pattern, value)


def _last_match(cells: Cells, pattern: str, value: Json) -> str:
    if not isinstance(value, str):
        cells.refuse("reference", f"is {shown(value)}, and data.reference_pattern searches text")
    found = [match[1] for match in re.finditer(pattern, value)]
    if not found or not (found[-1] or "").strip():
        cells.refuse("reference", f"has no match for data.reference_pattern {pattern!r}; it ends in {value[-60:]!r}")
    return found[-1].strip()


def _id(cells: Cells) -> str:
    value = cells.value("id")
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        cells.refuse("id", f"is {shown(value)}; allowed as an id: text or a whole number")
    return str(value)
