"""Judges the rollouts of a step while they come in: what each is handed to, and what gives the groups in the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mopd_core.types import Prompt, Rollout, RolloutGroup, Verdict, VerifyItem
from mopd_core.verification.router import RoutedItem
from mopd_core.verification.scheduler import Scheduler, Ticket

_ERRORS_SEEN_EVERY_S = 0.25


class PendingGroups:
    """The groups of P prompts on their way: `sizes[p]` rollouts of prompts[p], in any order.

    Nothing depends on the order in which rollouts come, or verdicts.
    """

    def __init__(self, scheduler: Scheduler, prompts: Sequence[Prompt], sizes: Sequence[int]) -> None:
        self._scheduler = scheduler
        self._prompts = prompts
        self._sizes = sizes
        self._arrived: dict[tuple[int, int], tuple[Rollout, Ticket]] = {}
        self._open: list[Ticket] = []

    def add(self, prompt: int, index: int, rollout: Rollout) -> None:
        """Take rollout `index` of prompt number `prompt`, and have it judged.

        Raises what a verifier has raised so far for any of them: there is no sense in sampling on.
        """
        item = RoutedItem(_item(self._prompts[prompt], rollout), self._prompts[prompt].verifier)
        ticket = self._scheduler.submit(item)
        self._arrived[prompt, index] = rollout, ticket
        self._open.append(ticket)
        self._raise_errors()

    def groups(self, threshold: float = 1.0) -> list[RolloutGroup]:
        """Wait for all verdicts: P groups, in order. A success has a reward of at least `threshold`.

        Raises what a verifier raises.
        """
        while self._open:
            self._scheduler.wait(self._open[0], _ERRORS_SEEN_EVERY_S)
            self._raise_errors()
        return [self._group(p, size, threshold) for p, size in enumerate(self._sizes)]

    def busy_s(self) -> float:
        """Seconds of wall time so far in which a verifier was at work on any of them."""
        tickets = [ticket for _, ticket in self._arrived.values()]
        return _covered([(t.began_s, t.ended_s) for t in tickets if t.began_s is not None and t.ended_s is not None])

    def _raise_errors(self) -> None:
        still_open = []
        for ticket in self._open:
            if ticket.is_done:
                ticket.verdict()
            else:
                still_open.append(ticket)
        self._open = still_open

    def _group(self, prompt: int, size: int, threshold: float) -> RolloutGroup:
        arrived = [self._arrived[prompt, index] for index in range(size)]
        verdicts: tuple[Verdict, ...] = tuple(ticket.verdict() for _, ticket in arrived)
        return RolloutGroup(self._prompts[prompt], tuple(rollout for rollout, _ in arrived), verdicts, threshold)


def caveats_of(groups: Iterable[RolloutGroup]) -> list[str]:
    """Every caveat of their verdicts, once."""
    return sorted({caveat for group in groups for verdict in group.verdicts for caveat in verdict.caveats})


def _item(prompt: Prompt, rollout: Rollout) -> VerifyItem:
    return VerifyItem(
        response=rollout.text,
        reference=prompt.reference,
        prompt_id=prompt.id,
        messages=prompt.messages,
        finish_reason=rollout.finish_reason,
    )


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans (from, to)."""
    covered = 0.0
    reached = -float("inf")
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered
