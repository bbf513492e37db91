"""Built-in selectors on hand-made groups.

1. Every target of a group reads one drawn order: all but the peers that it puts first see those, and the peers
   themselves see the next ones, or, where the group has too few, a replacement in their own slot.
2. Successes stand before failures; a control's roles are those of its slots.
3. A target without a success among its peers is shown nothing by `contrastive`, or failures where it is asked to.
4. A group's draws do not depend on the other groups; with equal generators, controls match their original.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mopd_core.peers.check import check_selections
from mopd_core.peers.contrastive import ContrastiveConfig, ContrastiveSelector
from mopd_core.peers.draws import Draws, choose
from mopd_core.peers.first_success import FirstSuccessConfig, FirstSuccessSelector
from mopd_core.peers.none import NoneConfig, NoneSelector
from mopd_core.peers.positive import PositiveConfig, PositiveSelector
from mopd_core.peers.random_peer import RandomPeerConfig, RandomPeerSelector
from mopd_core.peers.score_ordered import ScoreOrderedConfig, ScoreOrderedSelector
from mopd_core.peers.success_only_matched import SuccessOnlyMatchedConfig, SuccessOnlyMatchedSelector
from mopd_core.peers.summary import SummaryConfig, SummarySelector
from mopd_core.peers.unrelated_prompt import UnrelatedPromptConfig, UnrelatedPromptSelector
from mopd_core.testing.selectors import make_group, make_rollout
from mopd_core.types import Verdict


def shown(selector, *groups, seed=0):
    """For every group and target, its peers as text: `S3` is rollout 3 as a success, `1:S3` the same of group 1."""
    return [
        [
            " ".join(
                f"{'' if peer.group == number else f'{peer.group}:'}{peer.role[0].upper()}{peer.index}"
                for peer in selection.peers
            )
            for selection in chosen
        ]
        for number, chosen in enumerate(selector.select(groups, Random(seed)))
    ]


def contrastive(**options):
    return ContrastiveSelector(ContrastiveConfig(**options))


class TestChoose:
    def test_a_chosen_target_is_shown_the_next_ones(self):
        order = [4, 1, 7, 2]
        assert choose(order, 9, 2) == choose(order, 7, 2) == [4, 1]
        assert choose(order, 4, 2) == choose(order, 1, 2) == [7, 2]

    def test_so_is_a_target_that_is_chosen_for_another_slot(self):
        assert choose([4, 1, 7, 2], 9, 2, beside=[9]) == [7, 2]
        assert choose([4, 1, 7], 9, 2, beside=[9]) == [4, 1]
        assert choose([4, 1], 9, 0, beside=[9]) == []

    def test_where_too_few_are_left_the_target_is_replaced_in_its_slot(self):
        order = [4, 1, 7]
        assert choose(order, 4, 2) == [7, 1]
        assert choose(order, 1, 2) == [4, 7]
        assert choose(order, 7, 2) == [4, 1]

    def test_a_short_order_leaves_slots_out(self):
        assert choose([4, 1], 4, 2) == [1]
        assert choose([4], 4, 2) == []
        assert choose([], 0, 3) == []


class TestNone:
    def test_shows_nothing_and_needs_nothing(self):
        (chosen,) = NoneSelector().select([make_group("p", "SFU")], Random(0))
        assert [(s.target, s.peers, s.needs_context) for s in chosen] == [(i, (), False) for i in range(3)]


class TestFirstSuccess:
    def test_the_first_that_is_not_the_target(self):
        assert shown(FirstSuccessSelector(), make_group("p", "FSUS")) == [["S1", "S3", "S1", "S1"]]

    def test_a_lone_success_sees_nothing(self):
        assert shown(FirstSuccessSelector(), make_group("p", "FSU")) == [["S1", "", "S1"]]


class TestPositive:
    def test_two_successes(self):
        (peers,) = shown(PositiveSelector(PositiveConfig()), make_group("p", "SFS"))
        assert peers[0] == "S2"
        assert peers[1] in ("S0 S2", "S2 S0")
        assert peers[2] == "S0"

    def test_shows_what_contrastive_shows_without_failures(self):
        groups = [make_group("a", "SFSFSS"), make_group("b", "FSFFSS")]
        positive = shown(PositiveSelector(PositiveConfig()), *groups)
        both = shown(contrastive(), *groups)
        assert positive == [[" ".join(p for p in peers.split() if p[0] == "S") for peers in group] for group in both]


class TestContrastive:
    def test_two_successes_and_a_failure(self):
        group = make_group("p", "SFSFSFSF")
        draws = Draws(Random(5))
        a, b, c, d = draws.successes(group)
        f, g, *_ = draws.failures(group)
        expected = dict.fromkeys(range(8), f"S{a} S{b} F{f}") | dict.fromkeys((a, b, f), f"S{c} S{d} F{g}")
        assert shown(contrastive(), group, seed=5) == [[expected[target] for target in range(8)]]

    def test_too_few_for_another_set(self):
        group = make_group("p", "SFSFSF")
        draws = Draws(Random(5))
        a, b, c = draws.successes(group)
        f, g, _ = draws.failures(group)
        expected = dict.fromkeys(range(6), f"S{a} S{b} F{f}")
        expected |= {a: f"S{c} S{b} F{g}", b: f"S{a} S{c} F{g}", f: f"S{a} S{b} F{g}"}
        assert shown(contrastive(), group, seed=5) == [[expected[target] for target in range(6)]]

    def test_a_failure_that_nobody_is_shown_is_no_peer(self):
        """With `no-success` the successes stand alone, so no failure needs another set of them."""
        group = make_group("p", "SSSSFF")
        a, b, c, d = Draws(Random(5)).successes(group)
        expected = dict.fromkeys(range(6), f"S{a} S{b}") | dict.fromkeys((a, b), f"S{c} S{d}")
        (peers,) = shown(contrastive(show_failures="no-success"), group, seed=5)
        assert peers == [expected[target] for target in range(6)]

    def test_without_a_peer_success_nothing_is_shown(self):
        assert shown(contrastive(), make_group("p", "FSF")) == [["S1 F2", "", "S1 F0"]]
        assert shown(contrastive(), make_group("p", "FF")) == [["", ""]]

    def test_failures_only_where_no_success_is(self):
        selector = contrastive(show_failures="no-success")
        assert shown(selector, make_group("p", "FS")) == [["S1", "F0"]]
        assert shown(selector, make_group("p", "SUF")) == [["F2", "S0", "S0"]]
        assert shown(selector, make_group("p", "FF")) == [["F1", "F0"]]

    def test_all_passed_shows_successes_alone(self):
        assert shown(contrastive(), make_group("p", "SS")) == [["S1", "S0"]]

    def test_counts_are_configurable(self):
        (peers,) = shown(contrastive(successes=1, failures=3), make_group("p", "SSFFFFFU"))
        assert all([role[0] for role in text.split()] == ["S", "F", "F", "F"] for text in peers)
        (peers,) = shown(contrastive(failures=0), make_group("p", "SSSF"))
        assert "F" not in "".join(peers)

    def test_an_unknown_target_is_shown_peers_and_never_shown(self):
        assert shown(contrastive(), make_group("p", "USF")) == [["S1 F2", "", "S1"]]

    def test_the_draws_of_a_seed_stay_what_they_are(self):
        """A later version that resumes a run must show it the same peers: a change here goes into the changelog."""
        expected = dict.fromkeys(range(8), "S2 S0 F7") | dict.fromkeys((0, 2, 7), "S4 S6 F1")
        assert shown(contrastive(), make_group("prompt-7", "SFSFSFSF"), seed=11) == [list(expected.values())]


class TestSummary:
    def test_chooses_from_its_source(self):
        group = make_group("p", "SFSFU")
        for source, allowed in (("successes", {0, 2}), ("failures", {1, 3}), ("all", {0, 1, 2, 3})):
            (chosen,) = SummarySelector(SummaryConfig(source=source, peers=4)).select([group], Random(0))
            for selection in chosen:
                assert {peer.index for peer in selection.peers} == allowed - {selection.target}
                assert {peer.form for peer in selection.peers} == {"summary"}

    def test_successes_stand_first(self):
        (peers,) = shown(SummarySelector(SummaryConfig(peers=8)), make_group("p", "FSFSFSFS"))
        assert all(text.split() == sorted(text.split(), key=lambda peer: peer[0] == "F") for text in peers)

    def test_shows_as_many_as_asked(self):
        (peers,) = shown(SummarySelector(SummaryConfig(peers=2)), make_group("p", "FSFSF"))
        assert {len(text.split()) for text in peers} == {2}


class TestScoreOrdered:
    def scored(self, *rewards, threshold=0.5):
        verdicts = tuple(Verdict(reward, "passed" if reward >= threshold else "failed") for reward in rewards)
        group = make_group("p", "F" * len(rewards), threshold)
        return replace(group, verdicts=verdicts)

    def test_best_first_with_the_role_of_what_they_are(self):
        selector = ScoreOrderedSelector(ScoreOrderedConfig(peers=2))
        assert shown(selector, self.scored(0.1, 0.9, 0.4, 0.6)) == [["S1 S3", "S3 F2", "S1 S3", "S1 F2"]]

    def test_equal_rewards_are_drawn(self):
        selector = ScoreOrderedSelector(ScoreOrderedConfig(peers=1))
        group = self.scored(0.0, 0.7, 0.7, 0.7)
        assert {shown(selector, group, seed=seed)[0][0] for seed in range(30)} == {"S1", "S2", "S3"}

    def test_unknown_rollouts_are_left_out(self):
        assert shown(ScoreOrderedSelector(ScoreOrderedConfig()), make_group("p", "FUS")) == [["S2", "S2 F0", "F0"]]


class TestRandomPeer:
    def test_fills_the_slots_blind_to_the_verdict(self):
        selector = RandomPeerSelector(RandomPeerConfig())
        outcomes = "SFFFFFFF"
        seen = [shown(selector, make_group("p", outcomes), seed=seed)[0][7].split() for seed in range(200)]
        assert {tuple(peer[0] for peer in peers) for peers in seen} == {("S", "S", "F")}
        assert {int(peer[1]) for peers in seen for peer in peers} == set(range(7))
        in_failure_slot = sum(peers[2] == "F0" for peers in seen)
        assert 10 <= in_failure_slot <= 55  # a seventh of 200 is 28.6, with a standard deviation of 5

    def test_the_verdicts_do_not_change_what_is_drawn(self):
        selector = RandomPeerSelector(RandomPeerConfig())
        assert shown(selector, make_group("p", "SFSFSF")) == shown(selector, make_group("p", "FFFFFF"))

    def test_success_slots_are_filled_first(self):
        (peers,) = shown(RandomPeerSelector(RandomPeerConfig()), make_group("p", "FFU"))
        assert peers[0] == "S1"
        assert peers[2] in ("S0 S1", "S1 S0")

    def test_can_fill_the_slots_of_contrastive_alone(self):
        groups = [make_group("a", "SFFFSU"), make_group("b", "FFFF"), make_group("c", "SSSS"), make_group("d", "FSFF")]
        control = RandomPeerSelector(RandomPeerConfig(slots="as-contrastive"))
        assert _roles(control, groups) == _roles(contrastive(), groups)


def _roles(selector, groups):
    selections = selector.select(groups, Random(0))
    return [[[peer.role for peer in selection.peers] for selection in chosen] for chosen in selections]


class TestUnrelatedPrompt:
    def test_fills_the_slots_with_successes_of_other_prompts(self):
        groups = [make_group("a", "SS"), make_group("b", "FSF"), make_group("c", "FUS")]
        a, b, c = shown(UnrelatedPromptSelector(UnrelatedPromptConfig()), *groups)
        assert a in (["1:S1 2:S2"] * 2, ["2:S2 1:S1"] * 2)
        for peers, others in ((b, {"0:0", "0:1", "2:2"}), (c, {"0:0", "0:1", "1:1"})):
            assert len(set(peers)) == 1
            assert [peer[2] for peer in peers[0].split()] == ["S", "S", "F"]
            assert {peer.replace("S", "").replace("F", "") for peer in peers[0].split()} == others

    def test_the_same_prompt_twice_in_a_step_is_not_another_prompt(self):
        groups = [make_group("a", "SS"), make_group("a", "SS"), make_group("b", "S")]
        a, again, b = shown(UnrelatedPromptSelector(UnrelatedPromptConfig()), *groups)
        assert a == again == ["2:S0", "2:S0"]
        assert len(b[0].split()) == 3

    def test_a_single_prompt_is_shown_nothing_and_that_is_said(self, caplog):
        with caplog.at_level(logging.WARNING):
            assert shown(UnrelatedPromptSelector(UnrelatedPromptConfig()), make_group("a", "SSF")) == [["", "", ""]]
        assert "at least two prompts" in caplog.text

    def test_can_fill_the_slots_of_contrastive_alone(self):
        groups = [make_group("a", "SFFFSU"), make_group("b", "FFFF"), make_group("c", "SSSS"), make_group("d", "FSFF")]
        control = UnrelatedPromptSelector(UnrelatedPromptConfig(slots="as-contrastive"))
        assert _roles(control, groups) == _roles(contrastive(), groups)


class TestSuccessOnlyMatched:
    def test_one_more_success_stands_where_the_failure_stood(self):
        group = make_group("p", "SSSSFF")
        a, b, c, d = Draws(Random(5)).successes(group)
        expected = dict.fromkeys(range(6), f"S{a} S{b} S{c}")
        expected |= {a: f"S{c} S{d} S{b}", b: f"S{c} S{d} S{a}", c: f"S{a} S{b} S{d}"}
        expected |= {Draws(Random(5)).failures(group)[0]: f"S{c} S{d} S{a}"}
        selector = SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig())
        assert shown(selector, group, seed=5) == [[expected[target] for target in range(6)]]

    @pytest.mark.parametrize("match", ["blocks", "tokens"])
    def test_prefers_the_target_s_own_prompt(self, match):
        selector = SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig(match=match))
        own, _ = shown(selector, make_group("a", "SSSFF"), make_group("b", "SSSSS"))
        assert set(own[3].split()) == {"S0", "S1", "S2"}

    def test_tops_up_from_other_prompts(self):
        selector = SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig())
        a, b = shown(selector, make_group("a", "SFF"), make_group("b", "FS"))
        assert a == ["", "S0 1:S1", "S0 1:S1"]
        assert b == ["S1", ""]  # contrastive shows target 0 no failure: there is none but itself

    def test_by_tokens_the_nearest_length_is_chosen(self):
        """Lengths are 4, 7, 10, ... by index: the failure 5 (19 tokens) is nearest to success 4 (16)."""
        group = make_group("p", "SSSSSF")
        selector = SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig(match="tokens", successes=1))
        for seed in range(10):
            (peers,) = shown(selector, group, seed=seed)
            for target in range(5):
                kept = int(peers[target].split()[0][1])
                rest = [i for i in range(5) if i not in (kept, target)]
                assert peers[target].split()[1] == f"S{max(rest)}"

    def test_by_tokens_the_nearest_of_other_prompts_tops_up(self):
        selector = SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig(match="tokens"))
        a, _ = shown(selector, make_group("a", "SFF"), make_group("b", "SSS"))
        assert a == ["", "S0 1:S2", "S0 1:S1"]  # the failures are 2 (10 tokens) and 1 (7 tokens)

    def test_each_filler_is_used_once(self):
        (peers,) = shown(
            SuccessOnlyMatchedSelector(SuccessOnlyMatchedConfig(successes=1, failures=3)), make_group("p", "SSSSSFFF")
        )
        assert all(len(set(text.split())) == len(text.split()) for text in peers)
        assert len(peers[0].split()) == 4


class TestConfigs:
    @pytest.mark.parametrize(
        ("config", "smallest"),
        [
            (NoneConfig(), 1),
            (FirstSuccessConfig(), 2),
            (PositiveConfig(), 2),
            (ContrastiveConfig(), 2),
            (SummaryConfig(), 2),
            (ScoreOrderedConfig(), 2),
            (RandomPeerConfig(), 2),
            (UnrelatedPromptConfig(), 1),
            (UnrelatedPromptConfig(slots="as-contrastive"), 2),
            (SuccessOnlyMatchedConfig(), 2),
        ],
    )
    def test_smallest_group(self, config, smallest):
        assert config.min_group_size() == smallest

    @pytest.mark.parametrize("options", [{"successes": 0}, {"failures": -1}, {"show_failures": "never"}, {"peers": 1}])
    def test_what_makes_no_sense_is_refused(self, options):
        with pytest.raises(ValidationError):
            ContrastiveConfig(**options)


outcomes = st.text(alphabet="SFU", min_size=1, max_size=9)
steps = st.lists(outcomes, min_size=1, max_size=4).map(
    lambda texts: [make_group(f"p{n}", text) for n, text in enumerate(texts)]
)
counts = st.tuples(st.integers(1, 4), st.integers(0, 3))
seeds = st.integers(0, 2**32)


class TestProperties:
    @given(steps, counts, st.sampled_from(["always", "no-success"]), seeds)
    def test_contrastive_keeps_its_counts_and_its_rule(self, groups, counts, show_failures, seed):
        n_successes, n_failures = counts
        selector = contrastive(successes=n_successes, failures=n_failures, show_failures=show_failures)
        selections = selector.select(groups, Random(seed))
        check_selections("contrastive", groups, selections)
        for group, chosen in zip(groups, selections, strict=True):
            for selection in chosen:
                successes = [peer.index for peer in selection.peers if peer.role == "success"]
                failures = [peer.index for peer in selection.peers if peer.role == "failure"]
                assert [peer.index for peer in selection.peers] == successes + failures
                others = set(group.successes) - {selection.target}
                assert set(successes) <= others
                assert len(successes) == min(n_successes, len(others))
                wanted = bool(others) if show_failures == "always" else not others
                available = set(group.failures) - {selection.target} if wanted else set()
                assert set(failures) <= available
                assert len(failures) == min(n_failures, len(available))

    @given(steps, counts, seeds)
    def test_only_chosen_peers_see_a_replacement(self, groups, counts, seed):
        selector = contrastive(successes=counts[0], failures=counts[1])
        for group, chosen in zip(groups, selector.select(groups, Random(seed)), strict=True):
            draws = Draws(Random(seed))
            common = [*draws.successes(group)[: counts[0]], *draws.failures(group)[: counts[1]]]
            for selection in chosen:
                if selection.target not in common and group.successes:
                    assert [peer.index for peer in selection.peers] == common

    @given(st.text(alphabet="SFU", min_size=6, max_size=16), seeds)
    def test_two_contexts_are_enough_where_the_group_has_them(self, outcomes, seed):
        group = make_group("p", outcomes)
        (peers,) = shown(contrastive(), group, seed=seed)
        if len(group.successes) >= 4 and len(group.failures) >= 2:
            assert sorted(peers.count(text) for text in set(peers)) == [3, len(outcomes) - 3]

    @given(steps, seeds)
    def test_a_group_is_drawn_for_alone(self, groups, seed):
        for selector in (
            contrastive(),
            RandomPeerSelector(RandomPeerConfig()),
            ScoreOrderedSelector(ScoreOrderedConfig()),
        ):
            whole = shown(selector, *groups, seed=seed)
            assert whole == [shown(selector, group, seed=seed)[0] for group in groups]

    @given(steps, counts, st.sampled_from(["blocks", "tokens"]), seeds)
    def test_success_only_matches_contrastive_block_by_block(self, groups, counts, match, seed):
        n_successes, n_failures = counts
        control = SuccessOnlyMatchedSelector(
            SuccessOnlyMatchedConfig(successes=n_successes, failures=n_failures, match=match)
        ).select(groups, Random(seed))
        check_selections("success-only-matched", groups, control)
        original = contrastive(successes=n_successes, failures=n_failures).select(groups, Random(seed))
        for number, group in enumerate(groups):
            elsewhere = sum(len(other.successes) for other in groups if other is not group)
            for selection, compared in zip(control[number], original[number], strict=True):
                kept = [peer for peer in compared.peers if peer.role == "success"]
                assert list(selection.peers[: len(kept)]) == kept
                assert {peer.role for peer in selection.peers} <= {"success"}
                pool = len(set(group.successes) - {selection.target}) + elsewhere
                expected = min(len(compared.peers), pool) if compared.peers else 0
                assert len(selection.peers) == expected
                assert all(groups[peer.group].is_success(peer.index) for peer in selection.peers)


def test_rollouts_of_the_helpers_have_the_length_asked_for():
    assert len(make_rollout("text", 5).token_ids) == 5
