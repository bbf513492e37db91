"""The data sets `aime` and `amc`: choices of columns. Another competition with its answers in a column goes here."""

from __future__ import annotations

from mopd_core.data.adapters.gsm8k import ASK_FOR_BOX
from mopd_core.data.table_config import Columns, TableConfig


class AimeColumns(Columns):
    """The columns of AIME sets."""

    prompt: str = "problem"
    """The problem."""

    reference: str | None = "answer"
    """The answer, a whole number from 0 to 999."""


class AimeConfig(TableConfig):
    """AIME, competition problems with whole numbers as answers; for the verifier `math`.

    The default is the 2024 set; those of other years with the same columns are another `path`.
    """

    path: str = "HuggingFaceH4/aime_2024"
    """A name on Hugging Face, or a file."""

    columns: AimeColumns = AimeColumns()
    """Which column holds what."""

    prompt_template: str = ASK_FOR_BOX
    """What the user says; `{prompt}` is the problem. Other braces are plain text."""


class AmcColumns(Columns):
    """The columns of AMC sets."""

    prompt: str = "question"
    """The problem."""

    reference: str | None = "answer"
    """The answer, a number: 27.0 stands for 27."""


class AmcConfig(TableConfig):
    """AMC 12, competition problems with numbers as answers; for the verifier `math`.

    The default is the 2023 set; those of other years with the same columns are another `path`.
    """

    path: str = "math-ai/amc23"
    """A name on Hugging Face, or a file."""

    split: str = "test"
    """Which split of a Hugging Face data set to train on."""

    columns: AmcColumns = AmcColumns()
    """Which column holds what."""

    prompt_template: str = ASK_FOR_BOX
    """What the user says; `{prompt}` is the problem. Other braces are plain text."""
