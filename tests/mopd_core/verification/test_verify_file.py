from __future__ import annotations

import gzip
import json

import pytest

from mopd_core.errors import DataError, VerifierError
from mopd_core.types import Verdict
from mopd_core.verification.verify_file import FileSummary, verify_file


class Equal:
    """Passes a response equal to the reference; the reference "bad" cannot be used, "odd" cannot be decided."""

    def __init__(self) -> None:
        self.sizes = []
        self.items = []

    def verify(self, items):
        self.sizes.append(len(items))
        for item in items:
            if item.reference == "bad":
                raise DataError(f"prompt {item.prompt_id!r}: bad reference")
        self.items += items
        return [self.judge(item) for item in items]

    @staticmethod
    def judge(item):
        if item.reference == "odd":
            return Verdict(0.0, "unknown")
        return Verdict(1.0, "passed") if item.response == item.reference else Verdict(0.0, "failed", "no")


def write(path, lines):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def row(response="a", reference="a", **more):
    return {"response": response, "reference": reference, **more}


def test_results_in_order_with_line_numbers_and_ids(tmp_path):
    path = write(tmp_path / "f.jsonl", [row(id="q1"), "", row("b"), row(reference="odd", id=7)])
    results = list(verify_file(path, "equal", Equal(), batch_size=2))
    assert [(r.line, r.id, r.status, r.reward, r.feedback) for r in results] == [
        (1, "q1", "passed", 1.0, None),
        (3, None, "failed", 0.0, "no"),
        (4, "7", "unknown", 0.0, None),
    ]
    assert all(r.time_s >= 0 for r in results)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1]", "line 2: a row has to be a JSON object; this is a list"),
        ({"reference": "a"}, "line 2: the row has no 'response'; its columns: 'reference'"),
        ({"response": "a"}, "line 2: the row has no 'reference'; its columns: 'response'"),
        ({}, "line 2: the row has no 'response'; its columns: none"),
        (row(3), "line 2: 'response' has to be text; this is a int"),
        (row(prompt=5), "line 2: 'prompt' has to be text or a list of messages"),
        (row(prompt=[{"role": "user"}]), "line 2: 'prompt' has to be text or a list of messages"),
        (row(reference="bad"), "line 2: prompt 'line 2': bad reference"),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_bad_row_is_reported_and_the_rest_goes_on(tmp_path, line, problem, batch_size):
    path = write(tmp_path / "f.jsonl", [row(), line, row("b")])
    results = list(verify_file(path, "equal", Equal(), batch_size=batch_size))
    assert [r.status for r in results] == ["passed", "error", "failed"]
    assert results[1].line == 2
    assert results[1].reward is None
    assert results[1].feedback.startswith(problem)


def test_bytes_that_are_not_utf8_are_a_bad_row(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"response": "\xff", "reference": "a"}\n' + json.dumps(row()).encode())
    assert [r.status for r in verify_file(path, "equal", Equal())] == ["error", "passed"]


def test_gzip(tmp_path):
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join([json.dumps(row()).encode()] * 3)))
    assert [r.status for r in verify_file(path, "equal", Equal())] == ["passed"] * 3


@pytest.mark.parametrize("cut", [b"no gzip at all", gzip.compress(b"x" * 10_000)[:-12]])
def test_a_broken_gzip_names_the_file(tmp_path, cut):
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(cut)
    with pytest.raises(DataError, match=r"f\.jsonl\.gz cannot be read"):
        list(verify_file(path, "equal", Equal()))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl cannot be read"):
        list(verify_file(tmp_path / "nowhere.jsonl", "equal", Equal()))


def test_an_empty_file_has_no_results(tmp_path):
    assert list(verify_file(write(tmp_path / "f.jsonl", []), "equal", Equal())) == []


def test_rows_are_judged_in_batches_as_they_are_asked_for(tmp_path):
    path = write(tmp_path / "f.jsonl", [row()] * 10)
    verifier = Equal()
    results = verify_file(path, "equal", verifier, batch_size=4)
    next(results)
    assert verifier.sizes == [4]
    assert len(list(results)) == 9
    assert verifier.sizes == [4, 4, 2]


def test_progress_reaches_the_end(tmp_path):
    seen = []
    path = write(tmp_path / "f.jsonl", [row()] * 5)
    list(verify_file(path, "equal", Equal(), batch_size=2, on_progress=lambda done, part: seen.append((done, part))))
    assert [done for done, _ in seen] == [2, 4, 5]
    parts = [part for _, part in seen]
    assert parts == sorted(parts)
    assert 0 < parts[0] <= 1
    assert parts[-1] == 1.0


@pytest.mark.parametrize("prompt", ["why?", [{"role": "user", "content": "why?"}]])
def test_prompt_becomes_messages(tmp_path, prompt):
    verifier = Equal()
    list(verify_file(write(tmp_path / "f.jsonl", [row(prompt=prompt)]), "equal", verifier))
    assert verifier.items[0].messages == ({"role": "user", "content": "why?"},)


def test_a_verifier_that_fails_as_a_whole_ends_it_with_its_name(tmp_path):
    class Broken:
        def verify(self, items):
            raise RuntimeError("out of order")

    with pytest.raises(VerifierError, match="'broken' raised RuntimeError"):
        list(verify_file(write(tmp_path / "f.jsonl", [row()]), "broken", Broken()))


def test_summary(tmp_path):
    rows = [row(), row(), row(), row("b"), row(reference="odd"), row(reference="bad"), "{"]
    summary = FileSummary()
    for result in verify_file(write(tmp_path / "f.jsonl", rows), "equal", Equal()):
        summary.add(result)
    assert summary.counts == {"passed": 3, "failed": 1, "unknown": 1, "error": 2}
    assert summary.rows == 7
    assert summary.mean_reward == 0.75
    assert summary.seconds > 0


def test_summary_of_nothing():
    assert FileSummary().mean_reward is None
