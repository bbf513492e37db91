from __future__ import annotations

import json

import numpy as np
import pytest

from mopd_core.tracking.rows import rollout_rows
from mopd_core.types import Message, Peer, PeerSelection, Prompt, Rollout, RolloutGroup, Verdict


def rollout(*ids: int) -> Rollout:
    n = len(ids)
    return Rollout(np.array(ids, np.int32), np.zeros(n, np.float32), f"text {ids}", "stop", 3, np.ones(n, np.bool_))


PROMPT = Prompt("a/1", (Message(role="user", content="1 + 1?"),), reference={"answer": 2}, verifier="math")
GROUP = RolloutGroup(
    PROMPT,
    (rollout(5, 6, 7), rollout(), rollout(8)),
    (Verdict(1.0, "passed", None, ("no landlock",)), Verdict(0.0, "failed", "wrong"), Verdict(0.0, "unknown")),
)
SELECTIONS = [
    PeerSelection(1, (Peer(0, 0, "success"),)),
    PeerSelection(0, (Peer(0, 1, "failure", "summary"),)),
    PeerSelection(2),
]


def test_a_row_holds_the_prompt_and_its_rollouts() -> None:
    (row,) = rollout_rows([GROUP], [SELECTIONS], {(0, 0): {"divergence": [0.123456, 2e-9, 0.0]}})
    assert json.loads(json.dumps(row)) == row
    assert row["prompt_id"] == "a/1"
    assert row["messages"] == [{"role": "user", "content": "1 + 1?"}]
    assert (row["reference"], row["verifier"], row["threshold"]) == ({"answer": 2}, "math", 1.0)
    assert row["rollouts"][0] == {
        "text": "text (5, 6, 7)",
        "finish_reason": "stop",
        "version": 3,
        "n_tokens": 3,
        "token_ids": [5, 6, 7],
        "reward": 1.0,
        "status": "passed",
        "feedback": None,
        "caveats": ["no landlock"],
        "success": True,
        "peers": [{"group": 0, "index": 1, "role": "failure", "form": "summary"}],
        "token_values": {"divergence": [0.1235, 2e-9, 0.0]},
    }
    assert [item["success"] for item in row["rollouts"]] == [True, False, False]
    assert [len(item["peers"]) for item in row["rollouts"]] == [1, 1, 0]
    assert (row["rollouts"][1]["feedback"], row["rollouts"][1]["caveats"]) == ("wrong", [])
    assert row["rollouts"][1]["token_ids"] == row["rollouts"][2]["peers"] == []


def test_a_step_without_selection_or_token_values() -> None:
    rows = rollout_rows([GROUP, GROUP], [[], []])
    assert [row["group"] for row in rows] == [0, 1]
    assert all(item["peers"] == [] and item["token_values"] == {} for row in rows for item in row["rollouts"])


def test_every_group_needs_its_selections() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rollout_rows([GROUP, GROUP], [SELECTIONS])
