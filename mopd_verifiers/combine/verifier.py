"""The verifier `combine`: asks its parts in order, each about the items that are still open, and joins what they say.

Parts are built from the registry that this verifier came from, so that any installed verifier can be one. Each is held
to the contract of a verifier, and what one raises names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from mopd_core.boundary import plugin_boundary
from mopd_core.contexts import RunContext
from mopd_core.errors import DataError
from mopd_core.interfaces import Verifier
from mopd_core.types import Verdict, VerifyItem
from mopd_core.verification.router import close_verifier, verify_checked
from mopd_verifiers.combine.config import CombineConfig, PartConfig
from mopd_verifiers.combine.feedback import join_feedback
from mopd_verifiers.combine.rules import Rule, rule_of

_MAX_REFERENCE_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Part:
    """One verifier and its name. key: of what it is given of every reference; None for the whole."""

    name: str
    verifier: Verifier
    key: str | None

    def items(self, items: Sequence[VerifyItem]) -> list[VerifyItem]:
        """The items as this part sees them. Raises `DataError` for a reference that does not have its key."""
        return [self._item(item) for item in items]

    def _item(self, item: VerifyItem) -> VerifyItem:
        if self.key is None:
            return item
        if not isinstance(item.reference, Mapping) or self.key not in item.reference:
            raise _no_key(item, self.name, self.key)
        return replace(item, reference=item.reference[self.key])


class CombineVerifier:
    """Judges with several verifiers. Any number of threads may call it, as far as its parts allow that.

    parts: in the order in which they are asked. opened: what closes them.
    """

    def __init__(self, rule: Rule, parts: Sequence[Part], opened: ExitStack) -> None:
        self._rule = rule
        self._parts = tuple(parts)
        self._opened = opened

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Raises `DataError` for a reference that a part cannot use."""
        judged: list[list[tuple[str, Verdict]]] = [[] for _ in items]
        seen = [(part, part.items(items)) for part in self._parts]
        left = list(range(len(items)))
        for part, own in seen:
            verdicts = verify_checked(part.name, part.verifier, [own[index] for index in left])
            for index, verdict in zip(left, verdicts, strict=True):
                judged[index].append((part.name, verdict))
            left = [index for index in left if not self._rule.is_settled_by(judged[index][-1][1])]
        return [self._join(each) for each in judged]

    def check(self, items: Sequence[VerifyItem]) -> None:
        """Have every part read its references. Raises `DataError` for the first that cannot be used."""
        for part in self._parts:
            own = part.items(items)
            check = getattr(part.verifier, "check", None)
            if check is not None:
                with plugin_boundary(f"verifier {part.name!r}"):
                    check(own)

    def close(self) -> None:
        """Close every part, also where closing another one fails. Calling it twice is fine."""
        self._opened.close()

    def _join(self, judged: Sequence[tuple[str, Verdict]]) -> Verdict:
        reward, status = self._rule.judge([verdict for _, verdict in judged])
        caveats = dict.fromkeys(caveat for _, verdict in judged for caveat in verdict.caveats)
        return Verdict(reward, status, join_feedback(judged), tuple(caveats))


def build(config: CombineConfig, context: RunContext) -> CombineVerifier:
    """The factory that the plugin registers. Where a part cannot be built, those before it are closed."""
    with ExitStack() as opened:
        parts = []
        for part in config.parts:
            parts.append(_build_part(part, context))
            opened.callback(close_verifier, parts[-1].verifier)
        return CombineVerifier(rule_of(config), parts, opened.pop_all())


def _build_part(config: PartConfig, context: RunContext) -> Part:
    name = config.verifier.name
    with plugin_boundary(f"verifier {name!r}"):
        return Part(name, context.registries["verifiers"].build(config.verifier, context), config.reference)


def _no_key(item: VerifyItem, name: str, key: str) -> DataError:
    given = item.reference
    keys = f"it has: {', '.join(map(str, given)) or 'none'}" if isinstance(given, Mapping) else "it is no JSON object"
    return DataError(
        f"prompt {item.prompt_id!r}: the verifier `combine` gives {key!r} of the reference to its part `{name}`, but "
        f"the reference {str(given)[:_MAX_REFERENCE_SHOWN_CHARS]} has no such key; {keys}. "
        "Repair the row or its column mapping, or change `reference` of that part"
    )
