"""The options of the verifier `choice`."""

from __future__ import annotations

from mopd_core.config.base import PluginConfig


class ChoiceConfig(PluginConfig):
    """Multiple choice: the letter that is tagged, boxed or marked as the answer, against the gold letter.

    A prompt's reference is a letter (`B`, also `(B)` or `b`); a list of letters, of which all have to be given and no
    other; or `{"answer": "B", "options": 10}`, where letters beyond the options are none. In a response the first of
    these counts: the last `<answer>B</answer>`, the last box with a letter, as in `\\boxed{B}` or
    `\\boxed{\\text{(B)}}`, the last `Answer: B` or `the answer is (B)`. Text may follow the letter, as in `B. Paris`.
    Tags, boxes or markers with nothing but `,` or `or` between them are one answer, and an answer with several letters
    is wrong where one is asked for. Thinking is not looked at.
    """

    prose: bool = False
    """Where nothing is tagged, boxed or marked, take the letter that the last line with any names, as in `so it is B`.

    Also what reads a response that is nothing but a letter. Symbols such as the C of 20 C can be mistaken for one.
    """
