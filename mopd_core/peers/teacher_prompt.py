"""From a peer selection to the token ids that the teacher reads before the response: blocks, wording, budget.

Targets that are shown the same blocks share one rendered prompt, which is what selectors arrange for most of a group.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mopd_core.chat import TemplateOptions, encode_chat, special_texts
from mopd_core.errors import ConfigError
from mopd_core.interfaces import Tokenizer
from mopd_core.peers.budget import Fitted, Fitter
from mopd_core.peers.context import Block, ContextConfig, extract_summary, render_instructed, strip_thinking
from mopd_core.types import Form, Message, PeerSelection, Prompt, Role, RolloutGroup

_CACHED = 64
"""Rendered prompts and encoded texts that are kept: what a few groups need."""

_Turns: TypeAlias = tuple[tuple[str, str], ...]
_KINDS: dict[tuple[Role, Form], str] = {
    ("success", "full"): "success",
    ("failure", "full"): "failure",
    ("success", "summary"): "summary-success",
    ("failure", "summary"): "summary-failure",
}


@dataclass(frozen=True, slots=True, eq=False)
class TeacherPrompt:
    """What the teacher reads before a response, and what it cost.

    token_ids: [S] int32, generation header included. n_blocks: peers and feedback shown. n_context_tokens: tokens more
    than the student's prompt. n_trimmed_tokens: tokens of the chosen peers and feedback that did not fit.
    """

    token_ids: NDArray[np.int32]
    n_blocks: int
    n_context_tokens: int
    n_trimmed_tokens: int


class TeacherPrompts:
    """Builds teacher prompts of at most min(`config.max_prompt_tokens`, `max_tokens`) tokens.

    max_tokens: what the model's length leaves for a prompt. chat_options: the chat template's, as for the student.
    """

    def __init__(
        self,
        config: ContextConfig,
        tokenizer: Tokenizer,
        max_tokens: int,
        chat_options: TemplateOptions | None = None,
    ) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._chat_options = chat_options
        self._specials = special_texts(tokenizer)
        self._encode = lru_cache(_CACHED)(self._encode_text)
        self._plain = lru_cache(_CACHED)(self._plain_text)
        self._shown = lru_cache(_CACHED)(self._shown_text)
        self._fit = lru_cache(_CACHED)(self._fit_blocks)
        self._frame = lru_cache(_CACHED)(self._frame_tokens)
        self._fitter = Fitter(tokenizer, config.trim_mark, self.budget, self._encode)

    @property
    def budget(self) -> int:
        """The longest teacher prompt, in tokens."""
        return min(self._config.max_prompt_tokens, self._max_tokens)

    def build_group(
        self, groups: Sequence[RolloutGroup], group: int, selections: Sequence[PeerSelection]
    ) -> list[TeacherPrompt | None]:
        """`build` for every target of a group: once for all that are shown the same."""
        built: dict[Hashable, TeacherPrompt | None] = {}
        keys = [
            (selection.peers, selection.needs_context, selection.target if self._config.feedback else None)
            for selection in selections
        ]
        for key, selection in zip(keys, selections, strict=True):
            if key not in built:
                built[key] = self.build(groups, group, selection)
        return [built[key] for key in keys]

    def build(self, groups: Sequence[RolloutGroup], group: int, selection: PeerSelection) -> TeacherPrompt | None:
        """The teacher's prompt for one target of group number `group`; None where it needs context and there is none.

        A peer is left out if it has no text to show: no summary, or nothing but thinking. Feedback on the target, if
        the config asks for it, is a block after the peers and is context enough. Raises `ConfigError` where the
        question and the closing instruction alone are over the budget.
        """
        prompt = groups[group].prompt
        blocks = tuple(self._blocks(groups, group, selection))
        fitted = self._fit(_turns(prompt.messages), blocks, prompt.id) if blocks else None
        if fitted:
            n_context = len(fitted.token_ids) - len(prompt.token_ids)
            return TeacherPrompt(fitted.token_ids, fitted.n_blocks, n_context, fitted.n_trimmed_tokens)
        return None if selection.needs_context else TeacherPrompt(prompt.token_ids, 0, 0, 0)

    def check(self, prompts: Iterable[Prompt]) -> None:
        """Raise `ConfigError` for the longest question if it does not fit with the instruction alone. For before a run.

        A prompt whose text has fewer bytes than there are tokens left for it is taken to fit without being encoded.
        """
        needed = [(self._least_tokens(prompt), prompt.id) for prompt in prompts if not self._surely_fits(prompt)]
        if needed and max(needed)[0] > self.budget:
            raise self._does_not_fit(*max(needed))

    def _blocks(self, groups: Sequence[RolloutGroup], group: int, selection: PeerSelection) -> Iterator[Block]:
        for peer in selection.peers:
            if text := self._shown(groups[peer.group].rollouts[peer.index].text, peer.form):
                yield Block(_KINDS[peer.role, peer.form], text)
        verdict = groups[group].verdicts[selection.target]
        if self._config.feedback and verdict.status != "unknown" and (text := self._plain(verdict.feedback or "")):
            yield Block("feedback", text)

    def _shown_text(self, text: str, form: Form) -> str:
        """What is shown of a peer's text, empty if nothing is."""
        if self._config.strip_thinking:
            text = strip_thinking(text, self._config.thinking_tags)
        if form == "summary":
            text = extract_summary(text, self._config.summary_tags) or ""
        return self._plain(text)

    def _plain_text(self, text: str) -> str:
        """The text without the tokenizer's special tokens: a response that spells one must not end the user's turn."""
        while self._may_spell(text):
            ids = self._tokenizer.encode(text, add_special_tokens=False)
            plain = self._tokenizer.decode(ids, skip_special_tokens=True)
            if plain == text or plain == self._tokenizer.decode(ids, skip_special_tokens=False):
                break
            text = plain
        return text.strip()

    def _may_spell(self, text: str) -> bool:
        """Whether some special token may be in the text; only encoding it tells for sure."""
        return self._specials is None or any(special in text for special in self._specials)

    def _encode_text(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _fit_blocks(self, turns: _Turns, blocks: tuple[Block, ...], prompt_id: str) -> Fitted | None:
        messages = _messages(turns)
        fitted = self._fitter.fit(blocks, lambda shown: self._render(messages, shown))
        if fitted is None and (needed := len(self._render(messages, ()))) > self.budget:
            raise self._does_not_fit(needed, prompt_id)
        return fitted

    def _render(self, messages: Sequence[Message], blocks: Sequence[Block]) -> NDArray[np.int32]:
        rendered = render_instructed(self._config, messages, blocks)
        return encode_chat(self._tokenizer, rendered, self._chat_options)

    def _least_tokens(self, prompt: Prompt) -> int:
        """Tokens of the question with the closing instruction and no block."""
        return len(self._render(prompt.messages, ()))

    def _surely_fits(self, prompt: Prompt) -> bool:
        n_bytes = sum(len(message["content"].encode()) for message in prompt.messages)
        return n_bytes + self._frame(tuple(message["role"] for message in prompt.messages)) <= self.budget

    def _frame_tokens(self, roles: tuple[str, ...]) -> int:
        """Tokens of what stands around the contents of such a conversation."""
        return len(self._render([Message(role=role, content="") for role in roles], ()))

    def _does_not_fit(self, needed: int, prompt_id: str) -> ConfigError:
        return ConfigError(
            f"the question of prompt {prompt_id!r} and the closing instruction alone take {needed} tokens of teacher "
            f"prompt, and {self.budget} are allowed: max_prompt_tokens is {self._config.max_prompt_tokens}, and the "
            f"model's length and the response leave {self._max_tokens}. Raise the smaller one, or leave out prompts "
            "that long"
        )


def _turns(messages: Sequence[Message]) -> _Turns:
    """Messages as something that a cache can look up."""
    return tuple((message["role"], message["content"]) for message in messages)


def _messages(turns: _Turns) -> tuple[Message, ...]:
    return tuple(Message(role=role, content=content) for role, content in turns)
