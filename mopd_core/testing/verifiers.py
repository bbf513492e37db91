"""The conformance suite for verifiers: subclass `VerifierSuite`, give three fixtures, and pytest does the rest.

    class TestMine(VerifierSuite):
        @pytest.fixture
        def verifier(self): return MyVerifier(MyConfig())

        @pytest.fixture
        def passing(self): return [VerifyItem(response="...", reference=...)]

        @pytest.fixture
        def failing(self): return [VerifyItem(response="...", reference=...)]

The built-in verifiers run it too. A promise that every verifier has to keep gets a test here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from mopd_core.interfaces import Verifier
from mopd_core.types import Verdict, VerifyItem
from mopd_core.verification.router import close_verifier

MAX_FEEDBACK_CHARS = 4000
"""Feedback goes into the teacher's prompt: longer than this is no feedback."""

ODD_TEXTS = (
    "\x00\x01\x02\x7f",
    "\ud800 a lone surrogate",
    "\u202e\u0000\ufeff\U0001f9ee",
    "".join(map(chr, range(256))),
    "{" * 2000,
    "[" * 2000 + "]" * 2000,
    "\\" * 999,
    "$" * 999,
    "```\n" * 300,
    "\n" * 5000,
    "9" * 5000,
    "NaN",
    "null",
)
"""Responses that no verifier may raise for."""


class VerifierSuite:
    """What every verifier promises.

    Fixtures to give: `verifier`, of any scope, and `passing` and `failing`, at least one `VerifyItem` each. After the
    last test every verifier used is closed twice, which has to be fine where it has `close()` at all; so share it with
    no other tests.
    """

    _used: ClassVar[list[Verifier]]

    def __init_subclass__(cls) -> None:
        cls._used = []

    @pytest.fixture(autouse=True)
    def _use(self, verifier: Verifier) -> None:
        if not any(verifier is used for used in self._used):
            self._used.append(verifier)

    @classmethod
    def teardown_class(cls) -> None:
        """Close what was used, twice."""
        for verifier in cls._used:
            close_verifier(verifier)
            close_verifier(verifier)

    def test_passes_what_is_right(self, verifier: Verifier, passing: Sequence[VerifyItem]) -> None:
        assert passing, "give at least one passing item"
        assert [verdict.status for verdict in verifier.verify(passing)] == ["passed"] * len(passing)

    def test_fails_what_is_wrong(self, verifier: Verifier, failing: Sequence[VerifyItem]) -> None:
        assert failing, "give at least one failing item"
        assert [verdict.status for verdict in verifier.verify(failing)] == ["failed"] * len(failing)

    def test_one_verdict_an_item_in_order(
        self, verifier: Verifier, passing: Sequence[VerifyItem], failing: Sequence[VerifyItem]
    ) -> None:
        items = [*failing, *passing, *failing]
        verdicts = verifier.verify(items)
        assert isinstance(verdicts, list)
        assert all(isinstance(verdict, Verdict) for verdict in verdicts)
        assert [verdict.status for verdict in verdicts] == (
            ["failed"] * len(failing) + ["passed"] * len(passing) + ["failed"] * len(failing)
        )

    def test_reward_agrees_with_status(
        self, verifier: Verifier, passing: Sequence[VerifyItem], failing: Sequence[VerifyItem]
    ) -> None:
        right, wrong = verifier.verify(passing), verifier.verify(failing)
        assert all(0.0 <= verdict.reward <= 1.0 for verdict in [*right, *wrong])
        assert all(verdict.reward > 0.0 for verdict in right)
        assert max(verdict.reward for verdict in wrong) < min(verdict.reward for verdict in right)

    def test_feedback_is_bounded(
        self, verifier: Verifier, passing: Sequence[VerifyItem], failing: Sequence[VerifyItem]
    ) -> None:
        long = [replace(item, response=item.response + "x" * 50_000) for item in failing]
        for verdict in verifier.verify([*passing, *failing, *long]):
            assert len(verdict.feedback or "") <= MAX_FEEDBACK_CHARS

    def test_nothing_to_verify(self, verifier: Verifier) -> None:
        assert verifier.verify([]) == []

    @pytest.mark.parametrize("response", ["", " \n\t"])
    def test_an_empty_response_fails(self, verifier: Verifier, passing: Sequence[VerifyItem], response: str) -> None:
        verdicts = verifier.verify([replace(item, response=response) for item in passing])
        assert [verdict.status for verdict in verdicts] == ["failed"] * len(passing)

    def test_a_very_long_response_ends(self, verifier: Verifier, passing: Sequence[VerifyItem]) -> None:
        words = "so we go on, step by step, to {(1 + 2)} and beyond. "
        long = words * (1_000_000 // len(words))
        items = [replace(passing[0], response=text) for text in (long, "x" * 1_000_000, passing[0].response + long)]
        assert len(verifier.verify(items)) == len(items)

    @pytest.mark.parametrize("response", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
    def test_odd_text_never_raises(self, verifier: Verifier, passing: Sequence[VerifyItem], response: str) -> None:
        (verdict,) = verifier.verify([replace(passing[0], response=response)])
        assert verdict.status in ("passed", "failed")

    def test_order_and_company_do_not_matter(
        self, verifier: Verifier, passing: Sequence[VerifyItem], failing: Sequence[VerifyItem]
    ) -> None:
        items = [*passing, *failing]
        together = verifier.verify(items)
        assert verifier.verify(items[::-1])[::-1] == together
        assert [verifier.verify([item])[0] for item in items] == together

    def test_same_verdicts_from_many_threads(
        self, verifier: Verifier, passing: Sequence[VerifyItem], failing: Sequence[VerifyItem]
    ) -> None:
        items = [*passing, *failing]
        found: list[list[Verdict]] = []
        threads = [threading.Thread(target=lambda: found.append(verifier.verify(items))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [verifier.verify(items)] * len(threads)
