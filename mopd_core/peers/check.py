"""What the core requires of every selector, built-in or not, before anything is shown to a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from mopd_core.errors import SelectorError
from mopd_core.types import Form, Peer, PeerSelection, Role, RolloutGroup


def check_selections(
    selector_name: str, groups: Sequence[RolloutGroup], selections: Sequence[Sequence[PeerSelection]]
) -> None:
    """Raise `SelectorError` naming the selector unless every selection may be shown.

    Every group has one selection a rollout, in order; every peer exists, was judged, and is not the target itself.
    """
    if fault := _misfit(selections):
        raise SelectorError(
            f"selector {selector_name!r} returned {fault}; it has to return a list of PeerSelection a group, "
            "with tuples of Peer whose group and index are whole numbers, whose role is "
            f"{' or '.join(get_args(Role))}, and whose form is {' or '.join(get_args(Form))}"
        )
    if len(selections) != len(groups):
        raise SelectorError(
            f"selector {selector_name!r} returned selections for {len(selections)} groups and was given {len(groups)}; "
            "it has to return one list a group, in order"
        )
    for number, (group, chosen) in enumerate(zip(groups, selections, strict=True)):
        targets = [selection.target for selection in chosen]
        if targets != list(range(len(group))):
            raise SelectorError(
                f"selector {selector_name!r} returned selections for the targets {targets} of group {number} (prompt "
                f"{group.prompt.id!r}, {len(group)} rollouts); it has to return one for every rollout, in order, with "
                "or without peers"
            )
        for selection in chosen:
            for peer in selection.peers:
                if fault := _fault(groups, number, selection.target, peer):
                    raise SelectorError(
                        f"selector {selector_name!r} shows rollout {peer.index} of group {peer.group} to target "
                        f"{selection.target} of group {number} (prompt {group.prompt.id!r}): {fault}"
                    )


def _misfit(selections: object) -> str | None:
    """What is not of the type that it has to be, if anything is."""
    if not isinstance(selections, Sequence):
        return f"a {type(selections).__name__}"
    for chosen in selections:
        if not isinstance(chosen, Sequence):
            return f"a {type(chosen).__name__} for a group"
        for selection in chosen:
            if not isinstance(selection, PeerSelection):
                return f"a {type(selection).__name__} for a target"
            peers: object = selection.peers
            if not isinstance(peers, tuple):
                return f"a {type(peers).__name__} as peers"
            for peer in selection.peers:
                if not _is_peer(peer):
                    return f"the peer {peer!r:.100}"
    return None


def _is_peer(peer: object) -> bool:
    return (
        isinstance(peer, Peer)
        and type(peer.group) is type(peer.index) is int
        and peer.role in get_args(Role)
        and peer.form in get_args(Form)
    )


def _fault(groups: Sequence[RolloutGroup], number: int, target: int, peer: Peer) -> str | None:
    """What forbids showing the peer to a target of group `number`, if anything does."""
    if not 0 <= peer.group < len(groups):
        return f"there is no such group; the step has groups 0 to {len(groups) - 1}"
    if not 0 <= peer.index < len(groups[peer.group]):
        return f"there is no such rollout; the group has rollouts 0 to {len(groups[peer.group]) - 1}"
    if (peer.group, peer.index) == (number, target):
        return "a target is never its own peer"
    if not groups[peer.group].is_known(peer.index):
        return "its verdict is unknown, and such a rollout is never shown; choose from RolloutGroup.known"
    return None
