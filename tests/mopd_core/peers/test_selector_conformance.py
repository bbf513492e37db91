"""Every built-in selector passes the suite that third parties run."""

from __future__ import annotations

import random

import pytest

from mopd_core.errors import SelectorError
from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector
from mopd_core.peers.first_success import FirstSuccessSelector
from mopd_core.peers.none import NoneSelector
from mopd_core.peers.positive import PositiveConfig, PositiveSelector
from mopd_core.peers.random_peer import RandomPeerConfig, RandomPeerSelector
from mopd_core.peers.score_ordered import ScoreOrderedConfig, ScoreOrderedSelector
from mopd_core.peers.success_only_matched import SuccessOnlyMatchedConfig, SuccessOnlyMatchedSelector
from mopd_core.peers.summary import SummaryConfig, SummarySelector
from mopd_core.peers.unrelated_prompt import UnrelatedPromptConfig, UnrelatedPromptSelector
from mopd_core.testing.selectors import SelectorSuite
from mopd_core.types import Peer, PeerSelection

SELECTORS = {
    "none": NoneSelector(),
    "first-success": FirstSuccessSelector(),
    "positive": PositiveSelector(PositiveConfig()),
    "contrastive": ContrastiveSelector(ContrastiveConfig()),
    "contrastive no-success": ContrastiveSelector(ContrastiveConfig(show_failures="no-success")),
    "summary of all": SummarySelector(SummaryConfig()),
    "summary of successes": SummarySelector(SummaryConfig(source="successes")),
    "summary of failures": SummarySelector(SummaryConfig(source="failures")),
    "score-ordered": ScoreOrderedSelector(ScoreOrderedConfig()),
    "random-peer": RandomPeerSelector(RandomPeerConfig()),
    "random-peer as-contrastive": RandomPeerSelector(RandomPeerConfig(slots="as-contrastive")),
    "unrelated-prompt": UnrelatedPromptSelector(UnrelatedPromptConfig()),
    "unrelated-prompt as-contrastive": UnrelatedPromptSelector(UnrelatedPromptConfig(slots="as-contrastive")),
    "success-only-matched blocks": SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig()),
    "success-only-matched tokens": SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig(match="tokens")),
}


class TestBuiltIns(SelectorSuite):
    @pytest.fixture(params=SELECTORS)
    def selector(self, request):
        return SELECTORS[request.param]


class _Broken:
    """Gives every target the peers that a function of (group number, group, target, rng) returns."""

    def __init__(self, peers):
        self.peers = peers

    def select(self, groups, rng):
        return [
            [PeerSelection(target, tuple(self.peers(n, group, target, rng))) for target in range(len(group))]
            for n, group in enumerate(groups)
        ]


def _show(number, indices):
    return [Peer(number, index, "success") for index in indices]


FAULTS = {
    "test_a_target_is_never_its_own_peer": lambda n, group, target, rng: _show(n, group.successes[:1]),
    "test_an_unknown_rollout_is_never_shown": lambda n, group, target, rng: _show(n, [(target + 1) % len(group)]),
    "test_no_peer_is_shown_twice": lambda n, group, target, rng: _show(n, [(target + 1) % len(group)] * 2),
    "test_all_draws_come_from_the_generator_given": lambda n, group, target, rng: _show(n, [random.randrange(4)]),
    "test_the_order_of_groups_does_not_matter": lambda n, group, target, rng: _show(n, [rng.randrange(4)]),
}


class TestTheSuite:
    @pytest.mark.parametrize("test", FAULTS)
    def test_it_finds_a_fault(self, test):
        with pytest.raises(AssertionError):
            getattr(SelectorSuite(), test)(_Broken(FAULTS[test]))

    def test_it_checks_selections_as_the_core_does(self):
        itself = _Broken(lambda n, group, target, rng: _show(n, [target]))
        with pytest.raises(SelectorError, match="never its own peer"):
            SelectorSuite().test_every_target_gets_a_selection_that_may_be_shown(itself, "mixed")
