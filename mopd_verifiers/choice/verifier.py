"""The verifier `choice`: compares the letters that a response gives with the gold's, and words what it found.

Reward 1 for exactly the gold's letters, else 0; never *unknown*. Feedback never holds the gold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mopd_core.contexts import RunContext
from mopd_core.types import Verdict, VerifyItem
from mopd_verifiers.choice.answers import Found, find_letters
from mopd_verifiers.choice.config import ChoiceConfig
from mopd_verifiers.choice.references import Gold, read_gold

_MAX_SHOWN_CHARS = 100
_FORMAT = "give the letter of the option, as in <answer>LETTER</answer>, \\boxed{LETTER} or Answer: LETTER"
_LIST_FORMAT = "give the letters of all right options, as in <answer>LETTER, LETTER</answer>"


class ChoiceVerifier:
    """Judges answers to multiple-choice questions, in the calling thread; any number of threads may call it."""

    def __init__(self, config: ChoiceConfig) -> None:
        self._prose = config.prose

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that names no letters."""
        return [self._verify(item) for item in items]

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Read the references. Raises `DataError` for the first that cannot be used."""
        for item in items:
            read_gold(item)

    def _verify(self, item: VerifyItem) -> Verdict:
        gold = read_gold(item)
        found = find_letters(item.response, prose=self._prose)
        if found is not None and found.letters == gold.letters:
            return Verdict(1.0, "passed")
        return Verdict(0.0, "failed", _feedback(gold, found))


def build(config: ChoiceConfig, context: RunContext) -> ChoiceVerifier:
    """The factory that the plugin registers."""
    return ChoiceVerifier(config)


def _feedback(gold: Gold, found: Found | None) -> str:
    wanted = _LIST_FORMAT if gold.is_list else _FORMAT
    if found is None:
        return f"No answer was found; {wanted}."
    if not found.letters:
        return f"The answer {_shown(found.answer)} is not the letter of an option; {wanted}."
    if outside := found.letters - set(gold.options):
        return f"{_listed(outside)} is not among the options, A to {gold.options[-1]}."
    if len(found.letters) > 1 and not gold.is_list:
        return f"The answer holds several letters, {_listed(found.letters)}, where one is asked for."
    return f"The answer was {_listed(found.letters)}, which is not right."


def _listed(letters: Iterable[str]) -> str:
    return ", ".join(sorted(letters))


def _shown(answer: str) -> str:
    text = " ".join(answer[: _MAX_SHOWN_CHARS + 1].split()).encode("utf-8", "replace").decode()
    return repr(text if len(answer) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "...")
