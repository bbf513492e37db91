"""Rows that name a configured `combine`: as the run's own verifier, and listed in `routed_verifiers`."""

from __future__ import annotations

from typing import Any

import pytest

from mopd_core.config.load import load_config
from mopd_core.config.reference import built_in
from mopd_core.contexts import RunContext
from mopd_core.errors import ConfigError
from mopd_core.training.components import build_router, check_references
from mopd_core.types import Message, Prompt, VerifyItem
from mopd_core.verification.router import RoutedItem, VerifierRouter

SHORT = {"name": "length", "soft_chars": 10, "max_chars": 10}
TAGGED = {"name": "format", "tags": ["answer"]}
BOTH = {"name": "combine", "rule": "all", "parts": [{"verifier": SHORT}, {"verifier": TAGGED}]}

TAGS_ONLY, PLAIN, LONG = "<answer>4</answer>", "4", "<answer>four, I think</answer>"


def prompt(id: str, verifier: str | None) -> Prompt:
    return Prompt(id, (Message(role="user", content="?"),), reference=None, verifier=verifier)


PROMPTS = [prompt("p", None), prompt("q", "combine"), prompt("r", "length"), prompt("s", "format")]


def router_of(tree: dict[str, Any]) -> VerifierRouter:
    registries = built_in()
    config = load_config(None, registries, stored={"data": "bundled", **tree})
    router = build_router(config, registries, PROMPTS, RunContext(0, registries, None))
    check_references(router, PROMPTS)
    return router


def statuses(router: VerifierRouter, response: str) -> list[str]:
    items = [RoutedItem(VerifyItem(response, None, each.id), each.verifier) for each in PROMPTS]
    try:
        return [verdict.status for verdict in router.verify(items)]
    finally:
        router.close()


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (TAGS_ONLY, ["failed", "failed", "failed", "passed"]),
        (PLAIN, ["failed", "failed", "passed", "failed"]),
    ],
)
def test_rows_route_between_a_combine_and_other_verifiers(response, expected):
    router = router_of({"verifier": BOTH, "routed_verifiers": [SHORT, TAGGED]})
    assert statuses(router, response) == expected


def test_a_combine_beside_another_default():
    router = router_of({"verifier": SHORT, "routed_verifiers": [{**BOTH, "rule": "any"}, TAGGED]})
    assert statuses(router, LONG) == ["failed", "passed", "failed", "passed"]


def test_a_combine_that_is_not_configured_is_refused_before_the_run():
    with pytest.raises(ConfigError, match=r"prompt 'q' names the verifier 'combine', .*list it with its options"):
        router_of({"verifier": SHORT, "routed_verifiers": [TAGGED]})
