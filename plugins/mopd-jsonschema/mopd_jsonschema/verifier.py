"""The verifier `json-schema`: reward 1 for a response whose JSON the reference schema accepts, else 0."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from jsonschema import ValidationError
from referencing.exceptions import Unresolvable

from mopd_core.errors import DataError
from mopd_core.types import Verdict, VerifyItem
from mopd_jsonschema.config import JsonSchemaConfig
from mopd_jsonschema.extract import NotJsonError, last_json_block, read_json
from mopd_jsonschema.schemas import BadSchemaError, validator_of

_MAX_MESSAGE_CHARS = 150
_MAX_PATH_CHARS = 100


class JsonSchemaVerifier:
    """Judges responses one after the other in the caller's thread; it holds nothing that has to be closed."""

    def __init__(self, config: JsonSchemaConfig) -> None:
        self._config = config

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that is no usable JSON Schema."""
        return [self._verify(item) for item in items]

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Read the schemas before a run. Raises `DataError` for the first that cannot be used."""
        self.verify(items)

    def _verify(self, item: VerifyItem) -> Verdict:
        try:
            problem = self._problem(item.response, item.reference)
        except (BadSchemaError, Unresolvable) as error:
            raise DataError(
                f"prompt {item.prompt_id!r}: the verifier `json-schema` cannot use its reference: "
                f"{_cut(str(error), _MAX_MESSAGE_CHARS)}. "
                "It has to be a valid JSON Schema, given as an object, that refers to nothing outside itself"
            ) from error
        return Verdict(1.0, "passed") if problem is None else Verdict(0.0, "failed", problem)

    def _problem(self, response: str, reference: Any) -> str | None:
        validator = validator_of(reference)
        block = last_json_block(response)
        text = response if block is None else block
        if len(text) > self._config.max_chars:
            return f"The JSON is {len(text)} characters long; at most {self._config.max_chars} are read."
        try:
            instance = read_json(text)
            violations = list(islice(validator.iter_errors(instance), self._config.max_violations))
            described = [self._describe(violation) for violation in violations]
        except NotJsonError as error:
            where = "The response" if block is None else "The last ```json block"
            return f"{where} is not JSON: {error}."
        except RecursionError:
            return "The JSON is nested too deeply."
        return "The JSON violates the schema:\n" + "\n".join(described) if described else None

    def _describe(self, violation: ValidationError) -> str:
        path = _cut(violation.json_path, _MAX_PATH_CHARS)
        said = violation.message if self._config.feedback == "full" else f"violates {violation.validator}"
        return f"- {path}: {_cut(said, _MAX_MESSAGE_CHARS)}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
