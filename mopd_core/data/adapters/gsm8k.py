"""The data set `gsm8k`: a choice of columns, and a pattern for the number that ends a worked answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from mopd_core.data.table_config import Columns, TableConfig

ASK_FOR_BOX = "{prompt}\n\nReason step by step, and put the final answer in \\boxed{}."
"""How a question is put to a model whose answer the verifier `math` will look for."""

_HUB_NAME = "openai/gsm8k"


class Gsm8kColumns(Columns):
    """The columns of GSM8K."""

    prompt: str = "question"
    """The question."""

    reference: str | None = "answer"
    """The worked answer, which ends in `#### 72`."""


class Gsm8kConfig(TableConfig):
    """GSM8K, grade-school arithmetic in words; for the verifier `math`.

    The reference is the number after the last `####`. The data set on Hugging Face has its test rows in a split:
    `held_out_split: test`; as files they are one of their own: `held_out_path`.
    """

    path: str = _HUB_NAME
    """The data set's name on Hugging Face, or its `train.jsonl`."""

    subset: str | None = "main"
    """Which configuration of a Hugging Face data set; none where `path` is given."""

    columns: Gsm8kColumns = Gsm8kColumns()
    """Which column holds what."""

    prompt_template: str = ASK_FOR_BOX
    """What the user says; `{prompt}` is the question. Other braces are plain text."""

    reference_pattern: str | None = "#### (.+)"
    """A regular expression whose first group, at its last match in the worked answer, is the reference."""

    @model_validator(mode="before")
    @classmethod
    def _another_path_has_no_such_subset(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("path", _HUB_NAME) != _HUB_NAME:
            return {"subset": None, **values}
        return values
