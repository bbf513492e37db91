"""Chat messages to token ids: the one place where a prompt's text becomes tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mopd_core.interfaces import Tokenizer
from mopd_core.types import Message

TemplateOptions = Mapping[str, bool | int | float | str]


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Message], options: TemplateOptions | None = None
) -> NDArray[np.int32]:
    """Token ids [S] of a conversation under the model's chat template, with the header that the answer follows."""
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True, **(options or {}))
    return np.asarray(tokenizer.encode(text, add_special_tokens=False), dtype=np.int32)


def special_texts(tokenizer: Tokenizer) -> tuple[str, ...] | None:
    """What a text has to hold for a special token to be in it; None where the tokenizer does not say, or changes texts
    before it looks for them.
    """
    added = getattr(tokenizer, "added_tokens_decoder", None)
    if added is None or any(token.special and token.normalized for token in added.values()):
        return None
    return tuple(token.content for token in added.values() if token.special)
