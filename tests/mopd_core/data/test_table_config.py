from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from mopd_core.config.base import OptionText
from mopd_core.data.table_config import TableConfig


def test_the_options_import_neither_torch_nor_datasets() -> None:
    code = "import sys, mopd_core.data.table_config as _; sys.exit(bool({'torch', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "value", "kind"), [("5", 5, int), ("0.1", 0.1, float), ("0", 0, int), ("null", None, type(None))]
)
def test_held_out_as_typed_on_the_command_line(text: str, value: float | None, kind: type) -> None:
    held_out = TableConfig(path="x.jsonl", held_out=OptionText(text)).held_out
    assert held_out == value
    assert type(held_out) is kind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_template": "Solve this."}, r"must hold \{prompt\} exactly once"),
        ({"prompt_template": "{prompt} {prompt}"}, r"must hold \{prompt\} exactly once"),
        ({"reference_pattern": "#### ("}, "is not a regular expression"),
        ({"reference_pattern": "#### .+"}, "has no group"),
        ({"held_out": 1.5}, "is not a share below 1"),
        ({"held_out": 1.0}, "is not a share below 1"),
        ({"held_out": -1}, "greater than or equal to 0"),
        ({"system": "Be brief.", "columns": {"system": "system"}}, "both give a system prompt"),
        ({"held_out_path": "b.jsonl", "held_out_split": "test"}, "both say where the held-out prompts are"),
        ({"reference_pattern": "(.)", "columns": {"reference": None}}, "needs columns.reference"),
        ({"colums": {}}, "Extra inputs"),
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TableConfig.model_validate({"path": "x.jsonl", **options})
