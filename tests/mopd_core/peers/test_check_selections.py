"""What the core refuses of a selector, each with one line that names the selector and the place."""

from __future__ import annotations

import pytest

from mopd_core.errors import SelectorError
from mopd_core.peers.check import check_selections
from mopd_core.testing.selectors import make_group
from mopd_core.types import Peer, PeerSelection

GROUPS = [make_group("a", "SF"), make_group("b", "SU")]


def with_peer(peer, group=0, target=0):
    """Empty selections for both groups but for one peer."""
    selections = [[PeerSelection(0), PeerSelection(1)] for _ in GROUPS]
    selections[group][target] = PeerSelection(target, (peer,))
    return selections


def test_good_selections_pass():
    check_selections("mine", GROUPS, with_peer(Peer(0, 1, "failure")))
    check_selections("mine", GROUPS, with_peer(Peer(1, 0, "success")))
    check_selections("mine", [], [])


@pytest.mark.parametrize(
    ("selections", "message"),
    [
        ([], "for 0 groups and was given 2"),
        ([[PeerSelection(0), PeerSelection(1)]], "for 1 groups and was given 2"),
        ([[PeerSelection(0)], [PeerSelection(0), PeerSelection(1)]], r"targets \[0\] of group 0 \(prompt 'a'"),
        ([[PeerSelection(1), PeerSelection(0)]] * 2, r"targets \[1, 0\]"),
        (with_peer(Peer(2, 0, "success")), "no such group; the step has groups 0 to 1"),
        (with_peer(Peer(-1, 0, "success")), "no such group"),
        (with_peer(Peer(0, 2, "success")), "no such rollout; the group has rollouts 0 to 1"),
        (with_peer(Peer(0, -1, "success")), "no such rollout"),
        (with_peer(Peer(0, 0, "success")), "never its own peer"),
        (with_peer(Peer(1, 1, "failure"), group=0, target=1), "verdict is unknown"),
    ],
)
def test_bad_selections_are_refused(selections, message):
    with pytest.raises(SelectorError, match=message) as caught:
        check_selections("mine", GROUPS, selections)
    assert str(caught.value).startswith("selector 'mine' ")
