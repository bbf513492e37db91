"""Rows of a file in, results in its order out, whatever is in a row and however long a verifier takes."""

from __future__ import annotations

import gzip
import io
import json
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from mopd_core.config.base import PluginConfig
from mopd_core.errors import ConfigError, DataError, VerifierError
from mopd_core.registry import load_plugins
from mopd_core.types import Verdict
from mopd_core.verification import verify_file as module
from mopd_core.verification.results import FileSummary
from mopd_core.verification.rows import STDIN
from mopd_core.verification.verify_file import verify_file
from mopd_core.verification.workers import choose_workers


class Equal:
    """Passes a response equal to the reference, which says what else to do: `bad`, `odd`, `slow`, `hang` or `raise`."""

    def __init__(self) -> None:
        self.items = []
        self.closed = 0
        self.let_go = threading.Event()

    def verify(self, items):
        self.items += items
        return [self.judge(item) for item in items]

    def judge(self, item):
        match item.reference:
            case "bad":
                raise DataError(f"prompt {item.prompt_id!r}: bad reference")
            case "raise":
                raise RuntimeError("out of order")
            case "odd":
                return Verdict(0.0, "unknown", None, ("the moon is full",))
            case "slow":
                time.sleep(0.1)
            case "hang":
                self.let_go.wait(30)
        return Verdict(1.0, "passed") if item.response == item.reference else Verdict(0.0, "failed", "no")

    def close(self) -> None:
        self.closed += 1


class EqualConfig(PluginConfig):
    """Equality."""


class PooledConfig(PluginConfig):
    """Equality, with workers of its own."""

    workers: int | None = None
    """How many."""


class StrictConfig(PluginConfig):
    """Equality, with an option that has no default."""

    level: int
    """How strict."""


@pytest.fixture
def verifier():
    equal = Equal()
    yield equal
    equal.let_go.set()


@pytest.fixture
def registries(verifier):
    registries = load_plugins(points=[])
    registries["verifiers"].add("equal", EqualConfig, lambda config, context: verifier)
    registries["verifiers"].add("other", EqualConfig, lambda config, context: Equal())
    registries["verifiers"].add("pooled", PooledConfig, lambda config, context: verifier)
    registries["verifiers"].add("strict", StrictConfig, lambda config, context: verifier)
    return registries


@pytest.fixture
def judged(registries):
    """Judges the rows of a file with `equal`."""

    def run(path, **options):
        with verify_file(path, "equal", registries, **options) as verdicts:
            return list(verdicts)

    return run


def write(path, lines):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def row(response="a", reference="a", **more):
    return {"response": response, "reference": reference, **more}


@pytest.mark.parametrize("workers", [1, 4])
def test_results_in_order_with_line_numbers_and_ids(judged, tmp_path, workers):
    path = write(tmp_path / "f.jsonl", [row(id="q1"), "", row("b", "slow"), row(reference="odd", id=7)])
    results = judged(path, workers=workers)
    assert [(r.line, r.id, r.status, r.reward, r.feedback, r.caveats) for r in results] == [
        (1, "q1", "passed", 1.0, None, ()),
        (3, None, "failed", 0.0, "no", ()),
        (4, "7", "unknown", 0.0, None, ("the moon is full",)),
    ]


def test_time_is_the_rows_own(judged, tmp_path):
    path = write(tmp_path / "f.jsonl", [row("slow", "slow"), row(), row("slow", "slow")])
    slow, quick, again = (result.time_s for result in judged(path, workers=1))
    assert 0.1 <= slow < 0.2
    assert quick < 0.05
    assert 0.1 <= again < 0.2


def test_rows_are_judged_at_once(judged, tmp_path):
    path = write(tmp_path / "f.jsonl", [row("slow", "slow")] * 16)
    start = time.perf_counter()
    judged(path, workers=8)
    assert time.perf_counter() - start < 0.8


BAD_ROWS = [
    ("{", "line 2: not JSON"),
    ("[" * 100_000, "line 2: not JSON"),
    ("[1]", "line 2: a row has to be a JSON object; this is a list"),
    ({"reference": "a"}, "line 2: the row has no 'response'; its columns: 'reference'"),
    ({"response": "a"}, "line 2: the row has no 'reference'; its columns: 'response'"),
    ({}, "line 2: the row has no 'response'; its columns: none"),
    (row(3), "line 2: 'response' has to be text; this is a int"),
    (row(prompt=5), "line 2: 'prompt' has to be text or a list of messages"),
    (row(prompt=[{"role": "user"}]), "line 2: 'prompt' has to be text or a list of messages"),
    (row(verifier=5), "line 2: 'verifier' has to be a name; this is a int"),
    (
        row(verifier="eqal"),
        "line 2: prompt 'line 2' names the verifier 'eqal', which is not installed; installed: equal",
    ),
    (row(verifier="strict"), "line 2: "),
    (row(reference="bad"), "line 2: prompt 'line 2': bad reference"),
]


@pytest.mark.parametrize(("line", "problem"), BAD_ROWS, ids=[problem[8:40] for _, problem in BAD_ROWS])
def test_a_bad_row_is_reported_and_the_rest_goes_on(judged, tmp_path, line, problem):
    results = judged(write(tmp_path / "f.jsonl", [row(), line, row("b")]))
    assert [r.status for r in results] == ["passed", "error", "failed"]
    assert results[1].line == 2
    assert results[1].reward is None
    assert results[1].feedback.startswith(problem)


def test_bytes_that_are_not_utf8_are_a_bad_row(judged, tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'{"response": "\xff", "reference": "a"}\n' + json.dumps(row()).encode())
    assert [r.status for r in judged(path)] == ["error", "passed"]


def test_gzip(judged, tmp_path):
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join([json.dumps(row()).encode()] * 3)))
    assert [r.status for r in judged(path)] == ["passed"] * 3


def test_stdin(judged, monkeypatch):
    lines = b"\n".join([json.dumps(row()).encode()] * 3)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    assert [r.status for r in judged(STDIN)] == ["passed"] * 3


@pytest.mark.parametrize("cut", [b"no gzip at all", gzip.compress(b"x" * 10_000)[:-12]], ids=["no gzip", "cut short"])
def test_a_broken_gzip_names_the_file(judged, tmp_path, cut):
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(cut)
    with pytest.raises(DataError, match=r"f\.jsonl\.gz cannot be read"):
        judged(path)


def test_a_missing_file_is_named(judged, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl cannot be read"):
        judged(tmp_path / "nowhere.jsonl")


def test_an_empty_file_has_no_results(judged, tmp_path):
    assert judged(write(tmp_path / "f.jsonl", [])) == []


def test_rows_are_read_a_bounded_way_ahead(registries, verifier, tmp_path, monkeypatch):
    path = write(tmp_path / "f.jsonl", [row("x" * 10, "hang"), *[row("x" * 10)] * 50])
    monkeypatch.setattr(module, "ROWS_AHEAD", 8)
    with verify_file(path, "equal", registries, workers=2, timeout_s=0.3) as verdicts:
        assert next(verdicts).status == "unknown"
        assert len(verifier.items) == 8
    monkeypatch.setattr(module, "ROWS_AHEAD", 64)
    monkeypatch.setattr(module, "CHARS_AHEAD", 35)
    verifier.items.clear()
    with verify_file(path, "equal", registries, workers=2, timeout_s=0.3) as verdicts:
        assert next(verdicts).status == "unknown"
        assert len(verifier.items) == 4
        assert len(list(verdicts)) == 50


def test_a_row_that_is_larger_than_what_is_read_ahead_is_judged(judged, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHARS_AHEAD", 10)
    assert [r.status for r in judged(write(tmp_path / "f.jsonl", [row("x" * 99), row()]))] == ["failed", "passed"]


def test_the_fraction_goes_up_to_the_end(registries, tmp_path):
    path = write(tmp_path / "f.jsonl", [row()] * 5)
    with verify_file(path, "equal", registries) as verdicts:
        parts = [verdicts.fraction for _ in verdicts]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


@pytest.mark.parametrize("prompt", ["why?", [{"role": "user", "content": "why?"}]])
def test_prompt_becomes_messages(judged, verifier, tmp_path, prompt):
    judged(write(tmp_path / "f.jsonl", [row(prompt=prompt)]))
    assert verifier.items[0].messages == ({"role": "user", "content": "why?"},)


def test_a_row_may_name_another_verifier(judged, verifier, tmp_path):
    rows = [row(), row("b", verifier="other"), row(verifier="equal"), row(verifier=None)]
    assert [r.status for r in judged(write(tmp_path / "f.jsonl", rows))] == ["passed", "failed", "passed", "passed"]
    assert len(verifier.items) == 3
    assert verifier.closed == 1


def test_a_row_that_is_not_judged_in_time_is_unknown_and_the_rest_goes_on(judged, tmp_path):
    rows = [row(), row(reference="hang"), *[row()] * 9]
    results = judged(write(tmp_path / "f.jsonl", rows), workers=1, timeout_s=0.2)
    assert [r.status for r in results] == ["passed", "unknown", *["passed"] * 9]
    assert results[1].feedback == "Not judged: the verifier gave no verdict within 0.2 s."


def test_after_an_interruption_what_is_done_is_there_and_nothing_waits(registries, verifier, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    rows = [row(), row(reference="hang"), row(), "{", row("b"), row(reference="raise"), *[row(reference="hang")] * 9]
    start = time.perf_counter()
    with verify_file(write(tmp_path / "f.jsonl", rows), "equal", registries, workers=3) as verdicts:
        assert next(verdicts).line == 1
        while len(verifier.items) < 7:
            time.sleep(0.001)
        assert [r.line for r in verdicts.finished()] == [3, 4, 5]
    assert time.perf_counter() - start < 5


def test_a_verifier_that_fails_as_a_whole_ends_it_with_its_name(registries, tmp_path):
    path = write(tmp_path / "f.jsonl", [row(), row(reference="raise"), row()])
    with verify_file(path, "equal", registries) as verdicts:
        assert next(verdicts).status == "passed"
        with pytest.raises(VerifierError, match="'equal' raised RuntimeError on prompt 'line 2': out of order"):
            next(verdicts)


def test_a_response_of_ten_megabytes(judged, tmp_path):
    long = "0123456789" * 1_000_000
    assert judged(write(tmp_path / "f.jsonl", [row(long, long)]))[0].status == "passed"


@pytest.mark.parametrize(
    ("name", "options", "workers", "passed_on", "at_once"),
    [
        ("equal", (), 3, None, 3),
        ("pooled", (), 3, 3, 3),
        ("pooled", ("verifier.workers=5",), None, 5, 5),
        ("pooled", (), None, 4, 4),
        ("equal", (), None, None, 4),
    ],
)
def test_as_many_rows_at_once_as_the_verifier_has_workers(
    registries, monkeypatch, name, options, workers, passed_on, at_once
):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    choice, found = choose_workers(name, registries, options, workers)
    assert (getattr(choice, "workers", None), found) == (passed_on, at_once)


def test_workers_given_twice_are_refused(registries):
    with pytest.raises(ConfigError, match=r"--workers 3 and -o verifier\.workers=\.\.\. set the same thing"):
        choose_workers("pooled", registries, ("verifier.workers=2",), 3)


def test_summary(judged, tmp_path):
    rows = [row(), row(), row(), row("b"), row(reference="odd"), row(reference="bad"), "{"]
    summary = FileSummary()
    for result in judged(write(tmp_path / "f.jsonl", rows)):
        summary.add(result)
    assert summary.counts == {"passed": 3, "failed": 1, "unknown": 1, "error": 2}
    assert summary.rows == 7
    assert summary.mean_reward == 0.75
    assert summary.caveats == {"the moon is full": 1}
    assert summary.seconds > 0


def test_summary_of_nothing():
    assert FileSummary().mean_reward is None
