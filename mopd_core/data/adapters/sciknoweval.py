"""The data set `sciknoweval`: a choice of columns, among them the rows' own system prompt."""

from __future__ import annotations

from mopd_core.data.table_config import Columns, TableConfig


class SciKnowEvalColumns(Columns):
    """The columns of the multiple-choice files."""

    reference: str | None = "answer"
    """The letter of the right option."""

    system: str | None = "system"
    """A system prompt that says how to answer: a letter in `<answer>` tags. Null for none, or for `data.system`."""


class SciKnowEvalConfig(TableConfig):
    """SciKnowEval, multiple choice in four sciences, as the SDPO repository has it; for the verifier `choice`.

    Each of biology, chemistry, material and physics has a `train.json` and a `test.json`, with the options in the
    prompt's text; a glob such as `path: sciknoweval/*/train.json` reads several. The reference is a letter. The set of
    that name on Hugging Face has other columns.
    """

    columns: SciKnowEvalColumns = SciKnowEvalColumns()
    """Which column holds what."""
