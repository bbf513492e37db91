"""The examples of docs/verifiers.md: rows through the `mopd verify` above them, and the sandbox's Python as it stands.

A row says by its `id` what becomes of it: `right` passes with reward 1, `wrong` fails with 0, `partly` is between.
The guide for authors at the end of the page is followed in tests/e2e/test_verifier_guide.py.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from mopd_core.config.reference import built_in
from mopd_core.types import VerifyItem

PAGE = Path(__file__).parents[1] / "docs" / "verifiers.md"
REFERENCE, _, _ = PAGE.read_text(encoding="utf-8").partition("\n## Write and publish")

_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTS = re.compile(r"^```python\n(.*?)^```\n+prints\n\n((?:^    [^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_SAID = {
    "right": (1.0, 1.0, {"passed"}),
    "wrong": (0.0, 0.0, {"failed"}),
    "partly": (0.01, 0.99, {"passed", "failed"}),
}
"""What the ids say: least and most reward, and which status."""


def examples() -> Iterator[tuple[list[str], str]]:
    """A command's words after `mopd`, and the file below it."""
    blocks = _FENCED.findall(REFERENCE)
    for (before, command), (info, rows) in pairwise(blocks):
        if (before, info) == ("sh", "json"):
            yield shlex.split(command, comments=True)[1:], rows


def verifier_of(words: list[str]) -> str:
    return words[words.index("--verifier") + 1]


EXAMPLES = list(examples())


@pytest.mark.parametrize(("words", "rows"), EXAMPLES, ids=[verifier_of(words) for words, _ in EXAMPLES])
def test_every_row_gets_the_verdict_that_its_id_says(
    words: list[str], rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / words[1]).write_text(rows, encoding="utf-8")
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    verdicts: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(rows.splitlines()) >= 2
    for verdict in verdicts:
        least, most, statuses = _SAID[verdict["id"].partition(":")[0]]
        assert least <= verdict["reward"] <= most, verdict
        assert verdict["status"] in statuses, verdict


def test_every_built_in_verifier_has_an_example() -> None:
    assert {verifier_of(words) for words, _ in EXAMPLES} == set(built_in()["verifiers"].names())


def test_the_sandbox_does_what_the_page_prints() -> None:
    found = _PRINTS.findall(REFERENCE)
    assert found
    for source, expected in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "<docs/verifiers.md>", "exec"), {"__name__": "documented"})
        assert printed.getvalue().splitlines() == [line[4:] for line in expected.splitlines()]


def test_a_sandbox_elsewhere_that_does_not_answer_gives_unknown() -> None:
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(dict(_FENCED.findall(REFERENCE))["python"], "<docs/verifiers.md>", "exec"), names)
    judge = names["build_remote"](names["RemoteConfig"](url="http://127.0.0.1:9"), None)
    reference = {"kind": "stdin", "tests": [{"input": "", "output": "1"}]}
    (verdict,) = judge.verify([VerifyItem("```python\nprint(1)\n```", reference)])
    assert (verdict.status, verdict.feedback) == ("unknown", "Not judged: http://127.0.0.1:9 does not answer.")
