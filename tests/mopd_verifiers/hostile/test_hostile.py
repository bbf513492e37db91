"""Attacks and honest programs through `mopd verify`, as root, as an ordinary user, and as one without namespaces.

Rules: (1) no attack has a reward or is left undecided; (2) each is over within its limit plus two seconds; (3) the
grader lives; (4) no process, no file and no change is left; (5) honest programs pass, with no caveat.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from grading import USERS, Stage, User, attacks, grade, honest, may_run, stage

TIMEOUT_S = 2.0


@pytest.fixture(params=USERS, ids=lambda user: user.name)
def user(request: pytest.FixtureRequest) -> User:
    return request.param


@pytest.fixture
def scene(user: User) -> Iterator[Stage]:
    with stage(user) as made:
        if reason := may_run(made.python, user):
            pytest.skip(reason)
        yield made


@pytest.mark.parametrize(
    ("verifier", "kinds"), [("code", ("stdin", "function", "humaneval")), ("unit-tests", ("unit-tests",))]
)
def test_no_attack_succeeds(user: User, scene: Stage, verifier: str, kinds: tuple[str, ...]) -> None:
    rows = attacks(kinds, TIMEOUT_S)
    before = scene.snapshot()
    results = grade(user, scene, verifier, rows)
    assert [row["id"] for row in rows] == [result["id"] for result in results]
    assert {row["id"]: row for row in results if (row["reward"], row["status"]) != (0.0, "failed")} == {}
    assert {row["id"]: row["time_s"] for row in results if row["time_s"] > TIMEOUT_S + 2} == {}
    assert {row["id"]: row["caveats"] for row in results if row["caveats"]} == {}
    assert scene.processes() == []
    assert scene.snapshot() == before


def test_honest_programs_pass(user: User, scene: Stage) -> None:
    rows = honest()
    before = scene.snapshot()
    results = grade(user, scene, "code", rows)
    assert len(results) == len(rows)
    assert {row["id"]: row["feedback"] for row in results if row["status"] != "passed"} == {}
    assert {row["id"]: row["caveats"] for row in results if row["caveats"]} == {}
    assert scene.processes() == []
    assert scene.snapshot() == before
