"""A step's groups as the rows of its rollouts file, one a prompt. What a row holds is decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mopd_core.types import Peer, PeerSelection, Rollout, RolloutGroup, Verdict

TokenValues = Mapping[tuple[int, int], Mapping[str, Sequence[float]]]
"""Per-token values of some rollouts, under (group, rollout): a name such as `divergence`, and T numbers."""

DIGITS = 4
"""Significant digits that per-token values keep; more would be most of the file."""


def rollout_rows(
    groups: Sequence[RolloutGroup],
    selections: Sequence[Sequence[PeerSelection]],
    token_values: TokenValues | None = None,
) -> list[dict[str, Any]]:
    """One row a group, in order.

    selections: for every group one selection a rollout, or an empty list where nothing was selected. token_values: what
    to keep a token beside its id.
    """
    values = token_values or {}
    return [
        {
            "group": number,
            "prompt_id": group.prompt.id,
            "messages": list(group.prompt.messages),
            "reference": group.prompt.reference,
            "verifier": group.prompt.verifier,
            "threshold": group.threshold,
            "rollouts": [
                {
                    **_rollout(rollout),
                    **_verdict(verdict),
                    "success": group.is_success(index),
                    "peers": _peers(chosen, index),
                    "token_values": _rounded(values.get((number, index), {})),
                }
                for index, (rollout, verdict) in enumerate(zip(group.rollouts, group.verdicts, strict=True))
            ],
        }
        for number, (group, chosen) in enumerate(zip(groups, selections, strict=True))
    ]


def _rollout(rollout: Rollout) -> dict[str, Any]:
    return {
        "text": rollout.text,
        "finish_reason": rollout.finish_reason,
        "version": rollout.version,
        "n_tokens": len(rollout.token_ids),
        "token_ids": rollout.token_ids.tolist(),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "reward": verdict.reward,
        "status": verdict.status,
        "feedback": verdict.feedback,
        "caveats": list(verdict.caveats),
    }


def _peers(selections: Sequence[PeerSelection], target: int) -> list[dict[str, Any]]:
    return [_peer(peer) for selection in selections if selection.target == target for peer in selection.peers]


def _peer(peer: Peer) -> dict[str, Any]:
    return {"group": peer.group, "index": peer.index, "role": peer.role, "form": peer.form}


def _rounded(values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {name: [float(f"{value:.{DIGITS}g}") for value in numbers] for name, numbers in values.items()}
