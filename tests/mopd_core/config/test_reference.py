"""The config reference: generated, complete, and in docs/ as generated."""

from __future__ import annotations

from pathlib import Path

from mopd_core.config.compose import RunConfig
from mopd_core.config.reference import built_in, reference
from mopd_core.registry import Registries

PAGE = Path(__file__).parents[3] / "docs" / "config.md"


def test_every_section_and_plugin_has_its_heading(registries: Registries):
    page = reference(registries)
    assert all(f"\n## `{field}`\n" in page for field in RunConfig.model_fields)
    assert all(
        f"### {entry.kind[:-1]} `{entry.name}`" in page for kind in registries.by_kind for entry in registries[kind]
    )


def test_an_option_is_a_row_with_its_path_default_and_docstring(registries: Registries):
    rows = reference(registries).splitlines()
    assert "| `generator.batch` | integer >= 1 or null | `3` | Rollouts at a time. |" in rows
    assert "| `data.path` | text | required | The file. |" in rows
    assert "| `training.steps` | integer >= 1 | `100` | " in "\n".join(rows)


def test_the_page_in_docs_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(built_in()), (
        "run `python -m mopd_core.config.reference > docs/config.md`"
    )
