"""Reads the test columns that LiveCodeBench publishes. Nothing is ever unpickled.

A column is JSON text: a list of `{"input", "output", "testtype"}`. The private one may also be packed: that text as a
pickled string, zlib-compressed, in base64. Only a pickle that is one string and nothing else is read, opcode by opcode,
so there is nothing in it that could run or grow.
"""

from __future__ import annotations

import base64
import binascii
import json
import pickletools
import zlib
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from mopd_verifiers.code.problems import CallTest, StdinTest

MAX_UNPACKED_BYTES = 512 << 20
"""What is larger when unpacked is taken for a bomb."""

_CACHED_PROBLEMS = 8
_MAX_OPCODES = 16
_TEXT = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_FRAMING = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}


class _Stdin(BaseModel):
    model_config = ConfigDict(strict=True)

    testtype: Literal["stdin"]
    input: str
    output: str

    def test(self, public: bool) -> StdinTest:
        return StdinTest(self.input, self.output, public)


class _Functional(BaseModel):
    model_config = ConfigDict(strict=True)

    testtype: Literal["functional"]
    input: str
    output: str

    def test(self, public: bool) -> CallTest:
        """Every line of the input is one argument, as JSON."""
        args = [json.loads(line) for line in self.input.split("\n") if line.strip()]
        return CallTest(json.dumps([args, {}]), json.loads(self.output), public)


_Column: TypeAdapter[list[_Stdin | _Functional]] = TypeAdapter(
    list[Annotated[_Stdin | _Functional, Field(discriminator="testtype")]]
)


@lru_cache(_CACHED_PROBLEMS)
def published_tests(public: str, private: str) -> tuple[StdinTest | CallTest, ...]:
    """The tests of both columns, public ones first. Raises `ValueError` for a column that cannot be read."""
    return tuple(
        case.test(is_public)
        for column, is_public in ((public, True), (private, False))
        for case in _Column.validate_python(_values(column))
    )


def _values(column: str) -> Any:
    if not column.strip():
        return []
    return json.loads(column if column.lstrip().startswith("[") else unpacked(column))


def unpacked(column: str, max_bytes: int = MAX_UNPACKED_BYTES) -> str:
    """The JSON text of a packed column. Raises `ValueError` where it is none, or larger than `max_bytes`."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(column, validate=True), max_bytes + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"test cases that are neither JSON nor base64 of zlib data ({error})") from error
    if len(data) > max_bytes:
        raise ValueError(f"test cases of more than {max_bytes} bytes when unpacked")
    return _pickled_text(data)


def _pickled_text(data: bytes) -> str:
    opcodes = list(islice(pickletools.genops(data), _MAX_OPCODES))
    names = [opcode.name for opcode, _, _ in opcodes]
    texts = [value for name, (_, value, _) in zip(names, opcodes, strict=True) if name in _TEXT]
    if len(texts) != 1 or names[-1] != "STOP" or not set(names) <= _TEXT | _FRAMING:
        raise ValueError("test cases in a pickle that is not just one string")
    return str(texts[0])
