"""Sends every item to the verifier that its prompt names, and checks what that verifier returns.

This is the boundary to third-party verifiers: what they raise becomes one line with the verifier's name.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopd_core.errors import DataError, MopdError, VerifierError
from mopd_core.interfaces import Verifier
from mopd_core.types import Verdict, VerifyItem

log = logging.getLogger(__name__)

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
    """Call one verifier and check that it returned one `Verdict` an item; else `VerifierError` that names it."""
    try:
        verdicts: object = verifier.verify(items)
    except MopdError:
        raise
    except Exception as error:  # The boundary: whatever third-party code raises becomes one line with its name.
        log.exception("the verifier %r raised", name)
        raise VerifierError(
            f"the verifier {name!r} raised {type(error).__name__} on {len(items)} items: {error}. "
            "A verifier never raises for bad text; the log has the traceback for whoever publishes it"
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
    return verdicts


def close_verifier(verifier: Verifier) -> None:
    """Call `close()` where the verifier has one."""
    close = getattr(verifier, "close", None)
    if close is not None:
        close()
