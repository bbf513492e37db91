"""Sends every item to the verifier that its prompt names, and checks what that verifier returns.

This is the boundary to third-party verifiers: what they raise becomes one line with the verifier's name.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mopd_core.boundary import plugin_boundary
from mopd_core.errors import DataError, MopdError, VerifierError
from mopd_core.interfaces import Verifier
from mopd_core.types import Verdict, VerifyItem

log = logging.getLogger(__name__)

LONGEST_FEEDBACK = 4000
"""Characters of feedback that are kept: it goes into the teacher's prompt and into files."""
CUT_MARK = " [...] "
ABORTED = Verdict(0.0, "unknown", "Not judged: the rollout was aborted.")


@dataclass(frozen=True, slots=True)
class RoutedItem:
    """An item and the name of its verifier; None means the run's default."""

    item: VerifyItem
    verifier: str | None = None


class VerifierRouter:
    """Several verifiers that judge as one. `default_name` judges where an item names none."""

    def __init__(self, default_name: str, verifiers: Mapping[str, Verifier]) -> None:
        self._default_name = default_name
        self._verifiers = dict(verifiers)

    def verify(self, items: Sequence[RoutedItem]) -> list[Verdict]:
        """One verdict an item, in order. An aborted rollout is *unknown* and no verifier sees it.

        Raises `DataError` where a prompt names a verifier that is not there or has an unusable reference, and
        `VerifierError` where a verifier fails as a whole or breaks its contract.
        """
        verdicts = [ABORTED] * len(items)
        positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, routed in enumerate(items):
            if routed.item.finish_reason != "abort":
                positions[self._name_of(routed)].append(position)
        for name, own in positions.items():
            judged = verify_checked(name, self._verifiers[name], [items[position].item for position in own])
            for position, verdict in zip(own, judged, strict=True):
                verdicts[position] = verdict
        return verdicts

    def check(self, items: Sequence[RoutedItem]) -> None:
        """Have the references read by the verifiers that can do so ahead of a run. Raises `DataError` for a bad one."""
        own: defaultdict[str, list[VerifyItem]] = defaultdict(list)
        for routed in items:
            own[self._name_of(routed)].append(routed.item)
        for name, asked in own.items():
            check = getattr(self._verifiers[name], "check", None)
            if check is not None:
                with plugin_boundary(f"verifier {name!r}"):
                    check(asked)

    def close(self) -> None:
        """Close every verifier that can be closed."""
        for verifier in self._verifiers.values():
            close_verifier(verifier)

    def _name_of(self, routed: RoutedItem) -> str:
        name = routed.verifier or self._default_name
        if name not in self._verifiers:
            raise DataError(
                f"prompt {routed.item.prompt_id!r} names the verifier {name!r}, which this run does not have; "
                f"it has: {', '.join(sorted(self._verifiers))}. Repair the row, or install the plugin that registers it"
            )
        return name


def verify_checked(name: str, verifier: Verifier, items: Sequence[VerifyItem]) -> list[Verdict]:
    """Call one verifier and check that it returned one `Verdict` an item; else `VerifierError` that names it.

    A status that contradicts its reward is such an error too. Feedback beyond `LONGEST_FEEDBACK` loses its middle.
    """
    try:
        verdicts: object = verifier.verify(items)
    except MopdError:
        raise
    except Exception as error:  # The boundary: whatever third-party code raises becomes one line with its name.
        log.info("the verifier %r raised", name, exc_info=True)
        raise VerifierError(
            f"the verifier {name!r} raised {type(error).__name__} on {len(items)} items: {error}. "
            "A verifier never raises for bad text: report this to whoever publishes it"
        ) from error
    if not isinstance(verdicts, list) or not all(isinstance(verdict, Verdict) for verdict in verdicts):
        found = sorted({type(verdict).__name__ for verdict in verdicts}) if isinstance(verdicts, list) else []
        given = f"a list of {', '.join(found)}" if found else f"a {type(verdicts).__name__}"
        raise VerifierError(f"the verifier {name!r} returned {given}; it has to return a list of Verdict")
    if len(verdicts) != len(items):
        raise VerifierError(
            f"the verifier {name!r} returned {len(verdicts)} verdicts for {len(items)} items; "
            "it has to return one an item, in order"
        )
    for item, verdict in zip(items, verdicts, strict=True):
        _check_status(name, item, verdict)
    return [_bounded(verdict) for verdict in verdicts]


def _check_status(name: str, item: VerifyItem, verdict: Verdict) -> None:
    reward, status = verdict.reward, verdict.status
    contradicts = {"passed": reward == 0, "failed": reward == 1, "unknown": reward != 0}
    if contradicts[status]:
        raise VerifierError(
            f"the verifier {name!r} returned status {status!r} with reward {reward:g} for prompt {item.prompt_id!r}; "
            "allowed: passed above 0, failed below 1, unknown with 0"
        )


def _bounded(verdict: Verdict) -> Verdict:
    """The verdict with the middle of a long feedback cut out, and a mark in its place."""
    feedback = verdict.feedback
    if feedback is None or len(feedback) <= LONGEST_FEEDBACK:
        return verdict
    kept = LONGEST_FEEDBACK - len(CUT_MARK)
    head = kept // 2
    return replace(verdict, feedback=feedback[:head] + CUT_MARK + feedback[head - kept :])


def close_verifier(verifier: Verifier) -> None:
    """Call `close()` where the verifier has one."""
    close = getattr(verifier, "close", None)
    if close is not None:
        close()
