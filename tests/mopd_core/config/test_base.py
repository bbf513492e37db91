"""What `-o` text becomes is the schema's decision: text where a field takes text, and else what it spells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from mopd_core.config.base import ConfigModel, OptionText


class Fields(ConfigModel):
    whole: int = 0
    real: float = 0.0
    flag: bool = False
    text: str = ""
    maybe: str | None = "set"
    count: int | None = 1
    numbers: list[int] = Field(default_factory=list)
    pair: tuple[float, float] = (0.0, 0.0)
    file: Path = Path()
    free: dict[str, bool | int | float | str] = Field(default_factory=dict)
    words: dict[str, str] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("whole", "12", 12),
        ("whole", "-3", -3),
        ("whole", "010", 10),
        ("real", "1e-4", 1e-4),
        ("real", "2", 2.0),
        ("flag", "true", True),
        ("flag", "no", False),
        ("text", "12", "12"),
        ("text", "1e-4", "1e-4"),
        ("text", "true", "true"),
        ("text", "null", "null"),
        ("text", "[1, 2]", "[1, 2]"),
        ("text", "a=b", "a=b"),
        ("text", "{unclosed", "{unclosed"),
        ("text", "", ""),
        ("maybe", "null", None),
        ("maybe", "None", None),
        ("maybe", "12", "12"),
        ("count", "null", None),
        ("count", "7", 7),
        ("numbers", "[1, 2]", [1, 2]),
        ("numbers", "[]", []),
        ("pair", "[0.5, 0.9]", (0.5, 0.9)),
        ("file", "12", Path("12")),
        ("free", "{a: 1, b: true}", {"a": 1, "b": True}),
    ],
)
def test_a_field_types_its_text(field: str, text: str, value: Any):
    typed = getattr(Fields.model_validate({field: OptionText(text)}), field)
    assert typed == value
    assert type(typed) is type(value)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("whole", "many"),
        ("whole", "1.5"),
        ("real", "inf"),
        ("flag", "maybe"),
        ("numbers", "1"),
        ("real", "true"),
        ("count", "no"),
    ],
)
def test_text_that_is_no_value_is_an_error(field: str, text: str):
    with pytest.raises(ValidationError):
        Fields.model_validate({field: OptionText(text)})


def test_text_under_a_free_key_becomes_what_it_spells():
    given = {"think": OptionText("false"), "depth": OptionText("3"), "name": OptionText("x"), "kept": "false"}
    assert Fields.model_validate({"free": given}).free == {"think": False, "depth": 3, "name": "x", "kept": "false"}


def test_text_under_a_free_key_stays_text_where_only_text_is_allowed():
    words = Fields.model_validate({"words": {"a": OptionText("12")}}).words
    assert words == {"a": "12"}
    assert type(words["a"]) is str


@pytest.mark.parametrize("field", ["whole", "real", "count"])
def test_a_truth_value_is_no_number(field: str):
    with pytest.raises(ValidationError, match="a truth value is not a number"):
        Fields.model_validate({field: True})


@given(st.text())
def test_text_for_a_text_field_is_never_changed(text: str):
    assert Fields.model_validate({"text": OptionText(text)}).text == text


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_numbers_survive_being_written_as_text(value: float):
    field = {bool: "flag", int: "whole", float: "real"}[type(value)]
    assert getattr(Fields.model_validate({field: OptionText(repr(value))}), field) == value
