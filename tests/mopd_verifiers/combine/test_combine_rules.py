"""What verdicts of parts come to: hand-made tables, and properties against the definition without any shortcut.

1. all: failed if any failed, else unknown if any is unknown, else passed; the least known reward.
2. any: passed if any passed, else unknown if any is unknown, else failed; the largest known reward.
3. weighted-sum: unknown if a part with a weight is, else the mean by weight; passed from `pass_at` on.
4. Whatever the parts say, passed is above 0, failed below 1, unknown 0.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopd_core.types import Status, Verdict
from mopd_verifiers.combine.rules import AllOf, AnyOf, Rule, WeightedSum

P, F, U = Verdict(1.0, "passed"), Verdict(0.0, "failed"), Verdict(0.0, "unknown")
P3, F6 = Verdict(0.3, "passed"), Verdict(0.6, "failed")

above_0 = st.floats(0.0, 1.0, exclude_min=True)
below_1 = st.floats(0.0, 1.0, exclude_max=True)
verdicts = (
    st.builds(Verdict, above_0 | st.just(1.0), st.just("passed"))
    | st.builds(Verdict, below_1 | st.just(0.0), st.just("failed"))
    | st.just(U)
)
lists = st.lists(verdicts, min_size=1, max_size=5)
weights = st.just(0.0) | st.floats(1e-6, 1e6)


@pytest.mark.parametrize(
    ("said", "all_of", "any_of"),
    [
        ([P], (1.0, "passed"), (1.0, "passed")),
        ([F], (0.0, "failed"), (0.0, "failed")),
        ([U], (0.0, "unknown"), (0.0, "unknown")),
        ([P, P], (1.0, "passed"), (1.0, "passed")),
        ([P, F], (0.0, "failed"), (1.0, "passed")),
        ([P, U], (0.0, "unknown"), (1.0, "passed")),
        ([F, U], (0.0, "failed"), (0.0, "unknown")),
        ([U, F, P], (0.0, "failed"), (1.0, "passed")),
        ([P, P3], (0.3, "passed"), (1.0, "passed")),
        ([P, F6], (0.6, "failed"), (1.0, "passed")),
        ([P3, F6], (0.3, "failed"), (0.6, "passed")),
        ([F6, U], (0.6, "failed"), (0.0, "unknown")),
        ([F6, F], (0.0, "failed"), (0.6, "failed")),
        ([U, P3], (0.0, "unknown"), (0.3, "passed")),
    ],
)
def test_all_and_any(said: list[Verdict], all_of: tuple[float, Status], any_of: tuple[float, Status]):
    for order in itertools.permutations(said):
        assert AllOf().judge(order) == all_of
        assert AnyOf().judge(order) == any_of


@pytest.mark.parametrize(
    ("shares", "pass_at", "said", "expected"),
    [
        ((1, 1), 1.0, [P, P], (1.0, "passed")),
        ((1, 1), 1.0, [P, F], (0.5, "failed")),
        ((1, 1), 0.5, [P, F], (0.5, "passed")),
        ((3, 1), 1.0, [P, F], (0.75, "failed")),
        ((1, 1), 1.0, [P, U], (0.0, "unknown")),
        ((1, 0), 1.0, [P, U], (1.0, "passed")),
        ((1, 0), 1.0, [P, F], (1.0, "passed")),
        ((0, 2), 1.0, [P, F6], (0.6, "failed")),
        ((0.5, 0.5), 0.4, [F6, P3], (0.45, "passed")),
        ((0.7, 0.2, 0.1), 0.9, [P, P, F], (0.9, "passed")),
        ((0.1, 0.1, 0.1), 1.0, [P, P, P], (1.0, "passed")),
    ],
)
def test_weighted_sum(shares: tuple[float, ...], pass_at: float, said: list[Verdict], expected: tuple[float, Status]):
    reward, status = WeightedSum(shares, pass_at).judge(said)
    assert (reward, status) == (pytest.approx(expected[0]), expected[1])


def defined(rule: Rule, said: list[Verdict]) -> tuple[float, Status]:
    """Rules 1 and 2, in other words than the code's."""
    order: list[Status] = (
        ["failed", "unknown", "passed"] if isinstance(rule, AllOf) else ["passed", "unknown", "failed"]
    )
    status = next(each for each in order if each in {verdict.status for verdict in said})
    rewards = sorted(verdict.reward for verdict in said if verdict.status != "unknown")
    return (0.0 if status == "unknown" else rewards[0 if isinstance(rule, AllOf) else -1]), status


@pytest.mark.parametrize("rule", [AllOf(), AnyOf()], ids=["all", "any"])
@given(said=lists)
def test_parts_that_are_not_asked_change_nothing(rule: Rule, said: list[Verdict]):
    settled = next((index for index, verdict in enumerate(said) if rule.is_settled_by(verdict)), len(said))
    assert rule.judge(said[: settled + 1]) == defined(rule, said)


@given(st.lists(st.tuples(weights, verdicts), min_size=1, max_size=5), st.floats(0.0, 1.0, exclude_min=True))
def test_a_weighted_sum_is_the_mean_by_weight(pairs: list[tuple[float, Verdict]], pass_at: float):
    shares, said = tuple(weight for weight, _ in pairs), [verdict for _, verdict in pairs]
    if not any(shares):
        shares = (1.0, *shares[1:])
    reward, status = WeightedSum(shares, pass_at).judge(said)
    assert not any(WeightedSum(shares, pass_at).is_settled_by(verdict) for verdict in said)
    if any(weight > 0 and verdict.status == "unknown" for weight, verdict in zip(shares, said, strict=True)):
        assert (reward, status) == (0.0, "unknown")
        return
    exact = sum(Fraction(w) * Fraction(v.reward) for w, v in zip(shares, said, strict=True)) / sum(
        map(Fraction, shares)
    )
    assert reward == pytest.approx(float(exact), rel=1e-9, abs=1e-300)
    assert status == ("passed" if reward >= pass_at * (1 - 1e-9) else "failed") or reward == pytest.approx(pass_at)


@pytest.mark.parametrize("make", [lambda n: AllOf(), lambda n: AnyOf(), lambda n: WeightedSum((1.0,) * n, 0.5)])
@given(said=lists)
def test_reward_and_status_never_contradict_each_other(make, said: list[Verdict]):
    reward, status = make(len(said)).judge(said)
    assert 0.0 <= reward <= 1.0
    assert {"passed": reward > 0, "failed": reward < 1, "unknown": reward == 0}[status]
