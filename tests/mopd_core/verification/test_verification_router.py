from __future__ import annotations

import threading

import numpy as np
import pytest

from mopd_core.errors import DataError, VerifierError
from mopd_core.types import Verdict, VerifyItem
from mopd_core.verification import router
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


@pytest.mark.parametrize("reward", [np.float32(1), np.float64(1), np.int64(1), True, 1])
def test_a_reward_of_any_kind_of_number_is_kept_as_a_float(reward):
    assert type(Verdict(reward, "passed").reward) is float


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


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("sandbox without landlock",), ("sandbox without landlock",)),
        (("a\n  b", "a\n  b"), ("a b",)),
        (("x" * 300,), ("x" * 96 + " [...] " + "x" * 97,)),
        (tuple("abcdefgh"), tuple("abcdefgh")),
        (tuple("abcdefghij"), (*"abcdefg", "and 3 more")),
    ],
)
def test_caveats_are_kept_within_bounds(given, kept):
    verdict = Verdict(1.0, "passed", None, given)
    assert VerifierRouter("mine", {"mine": Scripted([verdict])}).verify([routed("1")])[0].caveats == kept


@pytest.mark.parametrize("caveats", ["text", ["text"], (1,), None])
def test_caveats_that_are_no_phrases_are_an_error_that_names_the_verifier(caveats):
    with pytest.raises(VerifierError, match=r"'mine' returned the caveats .* for prompt 'p'; allowed: a tuple of"):
        VerifierRouter("mine", {"mine": Scripted([Verdict(1.0, "passed", None, caveats)])}).verify([routed("1")])


def test_feedback_that_is_no_text_is_an_error_that_names_the_verifier():
    with pytest.raises(VerifierError, match="'mine' returned feedback that is a int for prompt 'p'"):
        VerifierRouter("mine", {"mine": Scripted([Verdict(0.0, "failed", 3)])}).verify([routed("1")])


def test_feedback_can_be_written_to_any_file():
    verdict = Verdict(0.0, "failed", "got \ud800 and é")
    assert VerifierRouter("mine", {"mine": Scripted([verdict])}).verify([routed("1")])[0].feedback == "got ? and é"


class Stubborn:
    """Closes when it is told to, or raises."""

    def __init__(self, error=None) -> None:
        self.let_go = threading.Event()
        self.error = error

    def close(self) -> None:
        if self.error:
            raise self.error
        self.let_go.wait(20)


def test_a_verifier_that_does_not_close_is_left_behind(monkeypatch, caplog):
    monkeypatch.setattr(router, "CLOSE_TIMEOUT_S", 0.05)
    stubborn, other = Stubborn(), Contains()
    VerifierRouter("first", {"first": stubborn, "second": other}).close()
    stubborn.let_go.set()
    assert other.closed == 1
    assert caplog.messages == ["Stubborn does not close within 0.05 s; going on without"]


def test_an_error_while_closing_does_not_keep_the_others_open():
    other = Contains()
    with pytest.raises(ZeroDivisionError):
        VerifierRouter(
            "a", {"a": Stubborn(ZeroDivisionError()), "b": other, "c": Stubborn(ZeroDivisionError())}
        ).close()
    assert other.closed == 1
