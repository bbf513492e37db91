"""Where in which sequence the loss's tokens stand: from rows of a flat layout to positions that a server can score.

The last token of a response is no input of a forward pass, so the flat layout does not have it; a server has to read it
to tell of it. Sequences are completed with it here.
"""

from __future__ import annotations

from collections.abc import Sequence

from mopd_core.training.layout import FlatSequences

Place = tuple[int, int]
"""A sequence's number, and a position in it."""


class Places:
    """For every asked pair of a flat row and the token after it: a sequence that has them, and where.

    texts: the sequences' token ids. Two responses that differ in their last token alone are one sequence of the layout
    and two here.
    """

    def __init__(self, sequences: FlatSequences, rows: Sequence[int], targets: Sequence[int]) -> None:
        token_ids = sequences.token_ids.tolist()
        flat = [of_sequence.tolist() for of_sequence in sequences.rows]
        self.texts: list[list[int]] = [[token_ids[row] for row in of_sequence] for of_sequence in flat]
        self._places: dict[tuple[int, int], Place] = {}
        wanted = set(rows)
        for number, (of_sequence, text) in enumerate(zip(flat, self.texts, strict=True)):
            for position, (row, token) in enumerate(zip(of_sequence[:-1], text[1:], strict=True), start=1):
                if row in wanted:
                    self._places.setdefault((row, token), (number, position))
        ends: dict[int, int] = {}
        for number, of_sequence in enumerate(flat):
            ends.setdefault(of_sequence[-1], number)
        for pair in zip(rows, targets, strict=True):
            if pair not in self._places:
                self._places[pair] = self._complete(ends[pair[0]], len(flat[ends[pair[0]]]), pair[1])

    def __call__(self, rows: Sequence[int], targets: Sequence[int]) -> list[Place]:
        """The places of some of the pairs."""
        return [self._places[pair] for pair in zip(rows, targets, strict=True)]

    def _complete(self, number: int, length: int, token: int) -> Place:
        """Put a token at the end of a sequence, or of a copy where another token stands there already."""
        if len(self.texts[number]) > length:
            self.texts.append(self.texts[number][:length])
            number = len(self.texts) - 1
        self.texts[number].append(token)
        return number, length
