"""Judges the rollouts of a step: what the loop calls between generation and peer selection."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from mopd_core.types import Prompt, Rollout, RolloutGroup, VerifyItem
from mopd_core.verification.router import RoutedItem, VerifierRouter


def verify_groups(
    router: VerifierRouter, prompts: Sequence[Prompt], rollouts: Sequence[Sequence[Rollout]], threshold: float = 1.0
) -> list[RolloutGroup]:
    """Verdicts for all rollouts of a step, as P groups: rollouts[p] [G] belong to prompts[p]; sizes may differ.

    All items go to the router in one call, so that a verifier can spread them over its workers. A rollout with a
    reward of at least `threshold` is a success. Raises what the router raises.
    """
    items = [
        RoutedItem(_item(prompt, rollout), prompt.verifier)
        for prompt, group in zip(prompts, rollouts, strict=True)
        for rollout in group
    ]
    verdicts = iter(router.verify(items))
    return [
        RolloutGroup(prompt, tuple(group), tuple(islice(verdicts, len(group))), threshold)
        for prompt, group in zip(prompts, rollouts, strict=True)
    ]


def _item(prompt: Prompt, rollout: Rollout) -> VerifyItem:
    return VerifyItem(
        response=rollout.text,
        reference=prompt.reference,
        prompt_id=prompt.id,
        messages=prompt.messages,
        finish_reason=rollout.finish_reason,
    )
