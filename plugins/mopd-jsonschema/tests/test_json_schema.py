"""The verifier `json-schema`: the conformance suite, and what it reads, accepts and says."""

from __future__ import annotations

import json
import time
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mopd_jsonschema.config import JsonSchemaConfig
from mopd_jsonschema.extract import last_json_block
from mopd_jsonschema.verifier import JsonSchemaVerifier

from mopd_core.contexts import RunContext
from mopd_core.errors import DataError
from mopd_core.registry import load_plugins
from mopd_core.testing.verifiers import VerifierSuite
from mopd_core.types import VerifyItem

PERSON = {
    "type": "object",
    "required": ["name", "born"],
    "properties": {"name": {"type": "string"}, "born": {"type": "integer"}, "tags": {"uniqueItems": True}},
    "additionalProperties": False,
}
ADA = {"name": "Ada", "born": 1815}
TREE = {"type": "array", "items": {"$ref": "#"}}


def fenced(text: str) -> str:
    return f"Here it is:\n```json\n{text}\n```\nDone."


def judge(response, reference=PERSON, **options):
    return JsonSchemaVerifier(JsonSchemaConfig(**options)).verify([VerifyItem(response, reference, "p-1")])[0]


class TestJsonSchema(VerifierSuite):
    @pytest.fixture
    def verifier(self):
        return JsonSchemaVerifier(JsonSchemaConfig())

    @pytest.fixture
    def passing(self):
        return [VerifyItem(json.dumps(ADA), PERSON), VerifyItem(fenced(json.dumps(ADA)), PERSON)]

    @pytest.fixture
    def failing(self):
        return [VerifyItem('{"name": "Ada"}', PERSON), VerifyItem("I would rather not.", PERSON)]


@pytest.mark.parametrize(
    ("response", "block"),
    [
        ("```json\n1\n```\nthen\n```json\n2\n```", "2"),
        ("```json\n1\n```\n```json\n2", "1"),
        ("```JSON  \n1\n  ```", "1"),
        ("```\n1\n```", None),
        ("1", None),
    ],
)
def test_the_last_closed_block_counts(response, block):
    assert last_json_block(response) == block


@pytest.mark.parametrize(
    ("response", "feedback"),
    [
        ('{"name": "Ada"}', "$: 'born' is a required property"),
        ('{"name": "Ada", "born": "1815"}', "$.born: '1815' is not of type 'integer'"),
        (fenced("{"), "The last ```json block is not JSON: "),
        ("no", "The response is not JSON: "),
        ('{"name": "Ada", "born": NaN}', "NaN is not JSON"),
        ('{"name": "Ada", "born": -Infinity}', "-Infinity is not JSON"),
        ('{"name": "Ada", "born": 1e999}', "the number 1e999 is too large"),
        ('{"name": "Ada", "name": "Ada", "born": 1}', "the key 'name' comes twice in one object"),
        ('{"name": "Ada", "born": 1, "tags": [1, "a", 1.0]}', "$.tags: the items are not unique"),
        ('{"name": "Ada", "born": ' + "9" * 5000 + "}", "is not JSON: Exceeds the limit"),
        ("[" * 90_000, "nested too deeply"),
    ],
)
def test_failures_say_why(response, feedback):
    verdict = judge(response)
    assert (verdict.status, verdict.reward) == ("failed", 0.0)
    assert feedback in verdict.feedback


def test_deep_json_against_a_recursive_schema_fails():
    assert judge("[" * 900 + "]" * 900, TREE).status == "failed"
    assert judge("[[[]]]", TREE).status == "passed"


def test_only_the_first_violations_are_named():
    response = json.dumps({"name": 1, "born": "x", "a": 0})
    assert judge(response, max_violations=2).feedback.count("\n- ") == 2
    assert judge(response).feedback.count("\n- ") == 3


def test_paths_do_not_spell_out_the_schema():
    schema = {"properties": {"answer": {"const": 31415}}}
    assert "31415" in judge('{"answer": 1}', schema).feedback
    assert judge('{"answer": 1}', schema, feedback="paths").feedback == (
        "The JSON violates the schema:\n- $.answer: violates const"
    )


def test_json_that_is_too_long_fails():
    assert "at most 10 are read" in judge(json.dumps(ADA), max_chars=10).feedback


def test_unique_items_take_linear_time():
    items = json.dumps([0, "", *range(1, 18_000)])
    start = time.process_time()
    assert judge(items, {"uniqueItems": True}, max_chars=10**6).status == "passed"
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "reference",
    [
        None,
        "string",
        [],
        {"type": "no-such-type"},
        {"minimum": "3"},
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema.json"},
    ],
)
def test_an_unusable_schema_is_a_data_error(reference):
    with pytest.raises(DataError, match="'p-1'"):
        judge("3", reference)


def test_the_draft_is_the_schemas_own():
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 3, "exclusiveMaximum": True}
    assert judge("3", old).status == "failed"
    assert judge("2", old).status == "passed"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_any_json_is_accepted_by_the_empty_schema(value):
    assert judge(fenced(json.dumps(value)), {}).status == "passed"


@given(st.text())
def test_any_text_gets_a_verdict(text):
    assert judge(text).status == "failed"


def test_mopd_finds_and_builds_it():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, target),) = project["entry-points"]["mopd"].items()
    registries = load_plugins([EntryPoint(name, target, "mopd")], disabled=[])
    registries.check()
    registration = registries["verifiers"].get("json-schema")
    verifier = registration.factory(JsonSchemaConfig(), RunContext(0, registries, None))
    assert verifier.verify([VerifyItem("3", {"type": "integer"})])[0].status == "passed"
