"""Sends every item to the verifier that its prompt names, and checks what that verifier returns.

This is the boundary to third-party verifiers: what they raise becomes one line with the verifier's name.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from mopd_core.boundary import message_of, plugin_boundary
from mopd_core.errors import DataError, MopdError, VerifierError
from mopd_core.interfaces import Verifier
from mopd_core.types import Verdict, VerifyItem
from mopd_core.verification.feedback import LONGEST_FEEDBACK, cut_middle

log = logging.getLogger(__name__)

MOST_CAVEATS = 8
LONGEST_CAVEAT = 200
"""Caveats that are kept, and characters of each: they are short phrases that a summary can name."""
CLOSE_TIMEOUT_S = 10.0
"""How long a verifier may take to close."""
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

    def __contains__(self, name: str) -> bool:
        return name in self._verifiers

    def add(self, name: str, verifier: Verifier) -> None:
        """Route items that name `name` to this verifier from now on."""
        self._verifiers[name] = verifier

    def close(self) -> None:
        """Close every verifier that can be closed."""
        with ExitStack() as stack:
            for verifier in self._verifiers.values():
                stack.callback(close_verifier, verifier)

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

    A status that contradicts its reward is such an error too, and so is feedback or a caveat that is no text. Feedback
    beyond `LONGEST_FEEDBACK` loses its middle; caveats become one line each, bounded in number and length.
    """
    try:
        verdicts: object = verifier.verify(items)
    except MopdError:
        raise
    except (Exception, SystemExit) as error:  # The boundary: a third party may raise anything.
        log.info("the verifier %r raised", name, exc_info=True)
        what = f"prompt {items[0].prompt_id!r}" if len(items) == 1 else f"{len(items)} items"
        raise VerifierError(
            f"the verifier {name!r} raised {type(error).__name__} on {what}: {message_of(error)}. "
            "A verifier never raises for bad text"
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
        _check_text(name, item, verdict)
    return [_bounded(verdict) for verdict in verdicts]


def _check_status(name: str, item: VerifyItem, verdict: Verdict) -> None:
    reward, status = verdict.reward, verdict.status
    contradicts = {"passed": reward == 0, "failed": reward == 1, "unknown": reward != 0}
    if contradicts[status]:
        raise VerifierError(
            f"the verifier {name!r} returned status {status!r} with reward {reward:g} for prompt {item.prompt_id!r}; "
            "allowed: passed above 0, failed below 1, unknown with 0"
        )


def _check_text(name: str, item: VerifyItem, verdict: Verdict) -> None:
    caveats: object = verdict.caveats
    if not isinstance(caveats, tuple) or not all(isinstance(caveat, str) for caveat in caveats):
        raise VerifierError(
            f"the verifier {name!r} returned the caveats {caveats!r:.200} for prompt {item.prompt_id!r}; "
            "allowed: a tuple of short phrases"
        )
    feedback: object = verdict.feedback
    if not isinstance(feedback, str | None):
        raise VerifierError(
            f"the verifier {name!r} returned feedback that is a {type(feedback).__name__} for prompt "
            f"{item.prompt_id!r}; allowed: text or None"
        )


def _bounded(verdict: Verdict) -> Verdict:
    """The verdict with bounded feedback and caveats, in characters that every file can hold."""
    if verdict.feedback is None and not verdict.caveats:
        return verdict
    feedback = None if verdict.feedback is None else _cut(verdict.feedback, LONGEST_FEEDBACK)
    caveats = tuple(_cut(" ".join(caveat.split()), LONGEST_CAVEAT) for caveat in dict.fromkeys(verdict.caveats))
    if len(caveats) > MOST_CAVEATS:
        caveats = (*caveats[: MOST_CAVEATS - 1], f"and {len(caveats) - MOST_CAVEATS + 1} more")
    return replace(verdict, feedback=feedback, caveats=caveats)


def _cut(text: str, longest: int) -> str:
    """The text without its middle where it is too long; a lone surrogate becomes `?`."""
    return cut_middle(text, longest).encode("utf-8", "replace").decode()


def close_verifier(verifier: Verifier) -> None:
    """Call `close()` where the verifier has one. One that takes longer than `CLOSE_TIMEOUT_S` is left behind, logged.

    Raises what `close()` raises.
    """
    close = getattr(verifier, "close", None)
    if close is None:
        return
    raised: list[BaseException] = []
    thread = threading.Thread(target=_call, args=(close, raised), name="close a verifier", daemon=True)
    thread.start()
    thread.join(CLOSE_TIMEOUT_S)
    if thread.is_alive():
        log.warning("%s does not close within %g s; going on without", type(verifier).__name__, CLOSE_TIMEOUT_S)
    if raised:
        raise raised[0]


def _call(close: Callable[[], object], raised: list[BaseException]) -> None:
    try:
        close()
    except BaseException as error:  # Between threads: it is raised again in the caller's.
        raised.append(error)
