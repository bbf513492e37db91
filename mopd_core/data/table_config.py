"""The options of the data set plugin `table`. Imports neither torch nor datasets, so that help stays instant.

An option belongs here if `table` reads it; a combination of options that means nothing is rejected here.
"""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from mopd_core.config.base import ConfigModel, PluginConfig

DEFAULT_HELD_OUT_SHARE = 0.02


class Columns(ConfigModel):
    """Which column of the table holds what. Names are the file's own."""

    prompt: str = "prompt"
    """The question: text, or a list of chat messages (`role`, `content`) that ends before the answer."""

    reference: str | None = "reference"
    """What the verifier judges an answer against: text, a number or any JSON value. Null if the verifier needs none."""

    system: str | None = None
    """A column with a system prompt; an empty cell means none."""

    id: str | None = None
    """A column with unique ids. Without it a row is called `<file>/<row number>`, counted from 1."""

    verifier: str | None = None
    """A column that names the verifier of a row; an empty cell means the run's own."""

    def used(self) -> dict[str, str]:
        """Column names by what they hold, without those that are off."""
        return {field: name for field, name in self if name is not None}


class TableConfig(PluginConfig):
    """Rows of a JSON, JSON Lines, CSV or Parquet file, or of a Hugging Face data set."""

    path: str
    """A .json, .jsonl (both also .gz), .csv or .parquet file, a glob of such files, or `org/name`."""

    subset: str | None = None
    """Which configuration of a Hugging Face data set."""

    split: str = "train"
    """Which split of a Hugging Face data set to train on."""

    columns: Columns = Columns()
    """Which column holds what."""

    system: str | None = None
    """A system prompt for all rows."""

    prompt_template: str = "{prompt}"
    """What the user says; `{prompt}` is the row's text, or its last user message. Other braces are plain text."""

    reference_pattern: str | None = None
    """A regular expression whose first group, at its last match in the column's text, is the reference: `#### (.+)`."""

    limit: int | None = Field(default=None, ge=1)
    """Use only the first rows of `path`, this many."""

    held_out: int | float | None = Field(default=None, ge=0)
    """How many prompts to evaluate on: a number, or a share below 1. Null: 2% of the rows, or a whole held-out file."""

    held_out_path: str | None = None
    """Where the held-out prompts are, if not among the rows of `path`: another file with the same columns."""

    held_out_split: str | None = None
    """Which split of the same Hugging Face data set holds the held-out prompts, if not the one trained on."""

    shuffle_seed: int = Field(default=0, ge=0)
    """Which rows are drawn as held out."""

    @field_validator("prompt_template")
    @classmethod
    def _has_prompt(cls, value: str) -> str:
        if value.count("{prompt}") != 1:
            raise ValueError("must hold {prompt} exactly once")
        return value

    @field_validator("reference_pattern")
    @classmethod
    def _has_group(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from error
        if groups == 0:
            raise ValueError(f"{value!r} has no group; put parentheses around the reference, as in '#### (.+)'")
        return value

    @field_validator("held_out")
    @classmethod
    def _share_is_below_one(cls, value: int | float | None) -> int | float | None:
        if isinstance(value, float) and value >= 1:
            raise ValueError(f"{value} is not a share below 1; a number of prompts is a whole number, such as 100")
        return value

    @model_validator(mode="after")
    def _one_meaning(self) -> TableConfig:
        if self.system is not None and self.columns.system is not None:
            raise ValueError("system and columns.system both give a system prompt; keep one")
        if self.held_out_path is not None and self.held_out_split is not None:
            raise ValueError("held_out_path and held_out_split both say where the held-out prompts are; keep one")
        if self.held_out_split == self.split:
            raise ValueError(
                f"split and held_out_split are both {self.split!r}; hold out a split that is not trained on"
            )
        if self.reference_pattern is not None and self.columns.reference is None:
            raise ValueError("reference_pattern needs columns.reference, the column that it is searched in")
        return self
