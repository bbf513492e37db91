"""The data set `livecodebench`: prompt and reference made of several columns, and rows chosen by the contest's date.

The private tests stay as they are published, compressed and pickled: the verifier decodes them, without unpickling.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import Literal

from pydantic import model_validator

from mopd_core.contexts import RunContext
from mopd_core.data.cells import Cells, shown
from mopd_core.data.prompts import Adapter
from mopd_core.data.table import TableSource
from mopd_core.data.table_config import Columns, TableConfig
from mopd_core.types import Json

_WRITE_PROGRAM = (
    "Write a Python program that solves this. It reads standard input and prints to standard output, in the form that "
    "the problem describes. Answer with one block fenced with ```python that holds the whole program."
)


class LiveCodeBenchColumns(Columns):
    """The columns of LiveCodeBench's code generation files."""

    prompt: str = "question_content"
    """The problem's text."""

    reference: str | None = "private_test_cases"
    """The private tests: JSON, or base64 of a compressed pickle of it."""

    id: str | None = "question_id"
    """A column with unique ids."""

    public_test_cases: str = "public_test_cases"
    """The tests that the problem shows, as JSON."""

    starter_code: str = "starter_code"
    """The beginning of a class with one method; empty where a program reads standard input."""

    metadata: str = "metadata"
    """A JSON object; its `func_name` is the method's name."""

    contest_date: str | None = "contest_date"
    """When the problem was first set, such as 2024-08-10T00:00:00."""

    difficulty: str | None = "difficulty"
    """`easy`, `medium` or `hard`."""

    platform: str | None = "platform"
    """`atcoder`, `codeforces` or `leetcode`."""


class LiveCodeBenchConfig(TableConfig):
    """LiveCodeBench, contest problems with the date of their contest; for the verifier `code`.

    Published as files `test.jsonl`, `test2.jsonl` and so on, in the data set `livecodebench/code_generation_lite` on
    Hugging Face; its loader is a script, which the library `datasets` runs no more, so download the files. The
    reference is `{"kind": "livecodebench", ...}` with the columns' texts. Dates and the like choose among the rows of
    `path` and of the held-out file alike; `limit` counts what they leave.
    """

    columns: LiveCodeBenchColumns = LiveCodeBenchColumns()
    """Which column holds what."""

    from_date: date | None = None
    """Only problems of contests on this day or later, such as 2024-08-01."""

    until_date: date | None = None
    """Only problems of contests on this day or earlier."""

    difficulty: Literal["easy", "medium", "hard"] | None = None
    """Only problems of this difficulty."""

    platform: Literal["atcoder", "codeforces", "leetcode"] | None = None
    """Only problems of this site."""

    @model_validator(mode="after")
    def _chosen_by_what_is_there(self) -> LiveCodeBenchConfig:
        if self.from_date is not None and self.until_date is not None and self.from_date > self.until_date:
            raise ValueError(f"from_date {self.from_date} is after until_date {self.until_date}")
        for option, column in _CHOOSERS.items():
            if getattr(self, option) is not None and getattr(self.columns, column) is None:
                raise ValueError(f"{option} needs columns.{column}, the column that it looks at")
        return self


_CHOOSERS = {
    "from_date": "contest_date",
    "until_date": "contest_date",
    "difficulty": "difficulty",
    "platform": "platform",
}
"""The options that choose rows, and the columns that they look at."""


def build(config: LiveCodeBenchConfig, context: RunContext) -> TableSource:
    """The factory registered as data set `livecodebench`."""
    chooses = any(getattr(config, option) is not None for option in _CHOOSERS)
    return TableSource(config, Adapter(_task, _problem, partial(_is_wanted, config) if chooses else None))


def _task(cells: Cells) -> Json:
    question, starter_code = cells.filled("prompt").strip(), cells.text("starter_code").rstrip()
    return f"{question}\n\n{_complete(starter_code) if starter_code else _WRITE_PROGRAM}"


def _complete(starter_code: str) -> str:
    return (
        f"Complete this Python class; keep its names and arguments.\n\n```python\n{starter_code}\n```\n\n"
        "Answer with one block fenced with ```python that holds the whole class and every import that it needs."
    )


def _problem(private_tests: Json, cells: Cells) -> Json:
    parts = {field: cells.text(field) for field in ("public_test_cases", "starter_code", "metadata")}
    return {"kind": "livecodebench", "private_test_cases": private_tests, **parts}


def _is_wanted(config: LiveCodeBenchConfig, cells: Cells) -> bool:
    for option, wanted in (("difficulty", config.difficulty), ("platform", config.platform)):
        if wanted is not None and cells.filled(option) != wanted:
            return False
    if config.from_date is None and config.until_date is None:
        return True
    return (config.from_date or date.min) <= _day(cells) <= (config.until_date or date.max)


def _day(cells: Cells) -> date:
    value = cells.value("contest_date")
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(cells.filled("contest_date"))
    except ValueError:
        cells.refuse("contest_date", f"is {shown(value)}; allowed: a date such as 2024-08-10T00:00:00")
    return moment.date()
