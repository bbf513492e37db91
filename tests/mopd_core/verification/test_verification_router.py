from __future__ import annotations

import numpy as np
import pytest

from mopd_core.errors import DataError, VerifierError
from mopd_core.types import Prompt, Rollout, Verdict, VerifyItem
from mopd_core.verification.groups import verify_groups
from mopd_core.verification.router import RoutedItem, VerifierRouter

PASSED, FAILED = Verdict(1.0, "passed"), Verdict(0.0, "failed", "no")


class Contains:
    """Passes a response that holds the reference, and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches = []
        self.closed = 0

    def verify(self, items):
        self.batches.append([item.response for item in items])
        return [PASSED if item.reference in item.response else FAILED for item in items]

    def close(self) -> None:
        self.closed += 1


class Scripted:
    """Returns, or raises, what it was given."""

    def __init__(self, result) -> None:
        self.result = result

    def verify(self, items):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def routed(response, verifier=None, finish_reason="stop"):
    return RoutedItem(VerifyItem(response, "x", "p", finish_reason=finish_reason), verifier)


def test_items_go_where_they_belong_and_verdicts_come_back_in_order():
    first, second = Contains(), Contains()
    router = VerifierRouter("first", {"first": first, "second": second})
    items = [routed("x1"), routed("2", "second"), routed("3", "first"), routed("x4", "second")]
    assert router.verify(items) == [PASSED, FAILED, FAILED, PASSED]
    assert (first.batches, second.batches) == ([["x1", "3"]], [["2", "x4"]])


def test_an_aborted_rollout_is_unknown_and_not_looked_at():
    verifier = Contains()
    verdicts = VerifierRouter("v", {"v": verifier}).verify([routed("x", finish_reason="abort"), routed("x")])
    assert [verdict.status for verdict in verdicts] == ["unknown", "passed"]
    assert verdicts[0].reward == 0.0
    assert verifier.batches == [["x"]]


def test_nothing_to_verify_calls_no_verifier():
    verifier = Contains()
    router = VerifierRouter("v", {"v": verifier})
    assert router.verify([]) == []
    assert router.verify([routed("x", finish_reason="abort")])[0].status == "unknown"
    assert verifier.batches == []


class Checking(Contains):
    """Can read references ahead of a run."""

    def check(self, items):
        self.batches.append([item.prompt_id for item in items])


def test_references_are_checked_where_a_verifier_can_and_nothing_is_judged():
    checking, plain = Checking(), Contains()
    router = VerifierRouter("checking", {"checking": checking, "plain": plain})
    router.check([routed(""), routed("", "plain"), routed("", "checking")])
    assert (checking.batches, plain.batches) == ([["p", "p"]], [])


def test_an_unknown_name_says_which_prompt_and_what_there_is():
    with pytest.raises(DataError, match=r"'p'.*'code'.*it has: math, other"):
        VerifierRouter("math", {"math": Contains(), "other": Contains()}).verify([routed("x", "code")])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([PASSED], r"'mine' returned 1 verdicts for 2 items"),
        ([PASSED] * 3, r"'mine' returned 3 verdicts for 2 items"),
        ((PASSED, PASSED), r"'mine' returned a tuple"),
        (None, r"'mine' returned a NoneType"),
        ([1.0, PASSED], r"'mine' returned a list of Verdict, float"),
        (KeyError("answer"), r"'mine' raised KeyError on 2 items: 'answer'"),
    ],
)
def test_a_broken_contract_is_an_error_that_names_the_verifier(result, message):
    with pytest.raises(VerifierError, match=message) as raised:
        VerifierRouter("mine", {"mine": Scripted(result)}).verify([routed("1"), routed("2")])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("verdict", [Verdict(0.0, "passed"), Verdict(1.0, "failed"), Verdict(0.5, "unknown")])
def test_a_status_against_its_reward_is_an_error_that_names_the_verifier(verdict):
    with pytest.raises(VerifierError) as raised:
        VerifierRouter("mine", {"mine": Scripted([PASSED, verdict])}).verify([routed("1"), routed("2")])
    assert str(raised.value) == (
        f"the verifier 'mine' returned status '{verdict.status}' with reward {verdict.reward:g} for prompt 'p'; "
        "allowed: passed above 0, failed below 1, unknown with 0"
    )


def test_partial_rewards_may_pass_or_fail():
    verdicts = [Verdict(0.5, "passed"), Verdict(0.5, "failed"), Verdict(0.0, "unknown")]
    assert VerifierRouter("mine", {"mine": Scripted(verdicts)}).verify([routed("1")] * 3) == verdicts


def test_long_feedback_loses_its_middle():
    fits, long = "x" * 4000, "a" * 3000 + "b" * 3001
    verdicts = [Verdict(0.25, "failed", fits), Verdict(0.25, "failed", long)]
    kept, cut = VerifierRouter("mine", {"mine": Scripted(verdicts)}).verify([routed("1"), routed("2")])
    assert kept.feedback == fits
    assert cut == Verdict(0.25, "failed", "a" * 1996 + " [...] " + "b" * 1997)
    assert len(cut.feedback) == 4000


def test_errors_raised_on_purpose_pass_through():
    error = DataError("prompt 'p': no such reference")
    with pytest.raises(DataError) as raised:
        VerifierRouter("mine", {"mine": Scripted(error)}).verify([routed("1")])
    assert raised.value is error


def test_close_reaches_every_verifier_that_can_be_closed():
    first, second = Contains(), Contains()
    VerifierRouter("first", {"first": first, "second": second, "third": Scripted([])}).close()
    assert (first.closed, second.closed) == (1, 1)


def rollout(text, finish_reason="stop"):
    return Rollout(np.zeros(1, np.int32), np.zeros(1, np.float32), text, finish_reason, 0, np.ones(1, np.bool_))


def test_verify_groups_keeps_prompts_rollouts_and_verdicts_together():
    first, second = Contains(), Contains()
    prompts = [Prompt("a", (), "x"), Prompt("b", (), "y", verifier="second"), Prompt("c", (), "z")]
    rollouts = [[rollout("x"), rollout("y")], [rollout("x"), rollout("y"), rollout("y", "abort")], []]
    groups = verify_groups(VerifierRouter("first", {"first": first, "second": second}), prompts, rollouts, 0.5)
    assert [group.prompt.id for group in groups] == ["a", "b", "c"]
    assert [list(group.rollouts) for group in groups] == rollouts
    assert [[verdict.status for verdict in group.verdicts] for group in groups] == [
        ["passed", "failed"],
        ["failed", "passed", "unknown"],
        [],
    ]
    assert {group.threshold for group in groups} == {0.5}
    assert groups[1].successes == (1,)
    assert (first.batches, second.batches) == ([["x", "y"]], [["x", "y"]])


def test_items_carry_what_a_verifier_may_read():
    seen = []

    class Reader:
        def verify(self, items):
            seen.extend(items)
            return [PASSED] * len(items)

    messages = ({"role": "user", "content": "?"},)
    verify_groups(VerifierRouter("r", {"r": Reader()}), [Prompt("a", messages, 7)], [[rollout("t", "length")]])
    assert seen == [VerifyItem("t", 7, "a", messages, "length")]
