"""The data set `tooluse`: the text of a column is a JSON list of calls."""

from __future__ import annotations

import json

from mopd_core.contexts import RunContext
from mopd_core.data.cells import Cells, shown
from mopd_core.data.prompts import Adapter
from mopd_core.data.table import TableSource
from mopd_core.data.table_config import Columns, TableConfig
from mopd_core.types import Json


class ToolUseColumns(Columns):
    """The columns of the tool-use files."""

    reference: str | None = "answer"
    """The calls: a JSON list of objects with `Action` and `Action_Input`, as text."""

    system: str | None = "system"
    """A system prompt, which the published rows leave empty. Null for none, or for `data.system`."""


class ToolUseConfig(TableConfig):
    """Tool calls in the style of ToolAlpaca, as the SDPO repository has them; for the verifier `tool-use`.

    The prompt lists the tools and asks for `Action:` and `Action Input:`. The reference is the list of calls.
    """

    columns: ToolUseColumns = ToolUseColumns()
    """Which column holds what."""


def build(config: ToolUseConfig, context: RunContext) -> TableSource:
    """The factory registered as data set `tooluse`."""
    return TableSource(config, Adapter(reference=_calls))


def _calls(value: Json, cells: Cells) -> Json:
    """The list that a text spells; a list is taken as it is."""
    try:
        calls = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        cells.refuse("reference", f"is {shown(value)}, which is not JSON: {error}")
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        cells.refuse(
            "reference", f"is {shown(value)}; allowed: a JSON list of calls, objects with Action and Action_Input"
        )
    return calls
