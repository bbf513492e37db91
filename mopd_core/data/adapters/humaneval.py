"""The data set `humaneval`: a reference made of three columns."""

from __future__ import annotations

from mopd_core.contexts import RunContext
from mopd_core.data.cells import Cells
from mopd_core.data.prompts import Adapter
from mopd_core.data.table import TableSource
from mopd_core.data.table_config import Columns, TableConfig
from mopd_core.types import Json


class HumanEvalColumns(Columns):
    """The columns of HumanEval."""

    reference: str | None = "test"
    """Python source that defines `check(candidate)`."""

    id: str | None = "task_id"
    """A column with unique ids."""

    entry_point: str = "entry_point"
    """The name of the function to complete."""


class HumanEvalConfig(TableConfig):
    """HumanEval, Python functions to complete from a signature and a docstring; for the verifier `code`.

    The reference is `{"kind": "humaneval", "prompt": ..., "entry_point": ..., "test": ...}`.
    """

    path: str = "openai/openai_humaneval"
    """The data set's name on Hugging Face, or its `HumanEval.jsonl.gz`."""

    split: str = "test"
    """Which split of a Hugging Face data set to train on."""

    columns: HumanEvalColumns = HumanEvalColumns()
    """Which column holds what."""

    prompt_template: str = (
        "Complete the Python function below. Answer with one block fenced with ```python that holds the whole function "
        "and every import that it needs.\n\n```python\n{prompt}\n```"
    )
    """What the user says; `{prompt}` is the function's beginning. Other braces are plain text."""


def build(config: HumanEvalConfig, context: RunContext) -> TableSource:
    """The factory registered as data set `humaneval`."""
    return TableSource(config, Adapter(reference=_problem))


def _problem(test: Json, cells: Cells) -> Json:
    prompt, entry_point = cells.filled("prompt"), cells.filled("entry_point")
    return {"kind": "humaneval", "prompt": prompt, "entry_point": entry_point, "test": test}
