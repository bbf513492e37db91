"""The generator `environment`: episodes, their turns sampled by another generator.

All episodes that are under way ask for their turns; once each of them waits, the turns are sampled together. A turn
depends on the episode's seed and its own number, so that an episode of one turn is the other generator's rollout.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TypeAlias

import numpy as np
import verifiers.v1 as vf
from numpy.typing import NDArray

from mopd_core.contexts import ModelContext
from mopd_core.errors import GeneratorError, MopdError
from mopd_core.interfaces import Generator, Tokenizer, WeightSource
from mopd_core.seeds import derive_seed
from mopd_core.types import Message, Prompt, Rollout, Sampling
from mopd_environments.config import EnvironmentGeneratorConfig
from mopd_environments.conversation import Bridge, Conversation, NoRoomError
from mopd_environments.endpoint import Question, Reply
from mopd_environments.outcomes import PLAYED, Outcome, PlayedOutcomes, outcome_of
from mopd_environments.replies import to_reply
from mopd_environments.stage import Stage
from mopd_environments.tasks import read_reference, to_messages

log = logging.getLogger(__name__)


def build(config: EnvironmentGeneratorConfig, context: ModelContext) -> EnvironmentGenerator:
    """The registered factory."""
    inner: Generator = context.registries["generators"].build(config.generator, context)
    return EnvironmentGenerator(config, inner, context.tokenizer)


@dataclass(frozen=True, slots=True)
class Seat:
    """An episode under way: rollout `index` of prompt number `prompt`."""

    prompt: int
    index: int
    seed: int
    conversation: Conversation
    asked: Prompt


Event: TypeAlias = "tuple[Seat, Question | Future[vf.Episode]]"


class EnvironmentGenerator:
    """Plays episodes with `inner`, whose weights are the ones that are synced."""

    def __init__(
        self,
        config: EnvironmentGeneratorConfig,
        inner: Generator,
        tokenizer: Tokenizer,
        played: PlayedOutcomes = PLAYED,
    ) -> None:
        self._config = config
        self._inner = inner
        self._bridge = Bridge(tokenizer, config.chat_template_options)
        self._played = played
        self._stage = Stage(config)
        self._is_open = True
        self._begun = 0
        played.open()
        if hasattr(inner, "score"):
            self.score = inner.score
        if hasattr(inner, "score_each"):
            self.score_each = inner.score_each

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> list[list[Rollout]]:
        """One episode a seed: P lists, in order. Raises what `stream` raises."""
        played = {(prompt, index): rollout for prompt, index, rollout in self.stream(prompts, sampling, seeds=seeds)}
        return [[played[prompt, index] for index in range(len(group))] for prompt, group in enumerate(seeds)]

    def stream(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, int, Rollout]]:
        """Yield (p, i, rollout) when the episode of rollout i of prompt p ends.

        Raises `DataError` for a prompt that is no environment's, `ConfigError` for an environment that cannot be
        played, and `GeneratorError` for an episode that fails before the first turn, or is no one growing sequence.
        """
        if not self._is_open:
            raise GeneratorError("the generator is closed; build another one to sample again")
        events: SimpleQueue[Event] = SimpleQueue()
        waiting = [(p, i, seed) for p, group in enumerate(seeds) for i, seed in enumerate(group)][::-1]
        playing: dict[tuple[int, int], Future[vf.Episode]] = {}
        turns: list[tuple[Seat, Question, NDArray[np.int32]]] = []
        try:
            while waiting or playing:
                while waiting and len(playing) < self._config.concurrency:
                    p, i, seed = waiting.pop()
                    playing[p, i] = self._begin(p, i, prompts[p], seed, sampling, events)
                seat, event = events.get()
                if isinstance(event, Future):
                    del playing[seat.prompt, seat.index]
                    turns = [turn for turn in turns if turn[0] is not seat]
                    yield seat.prompt, seat.index, self._end(seat, event)
                else:
                    try:
                        turns.append((seat, event, seat.conversation.ask(event.messages)))
                    except NoRoomError:
                        event.refuse("the response has no tokens left")
                if turns and len(turns) == len(playing):
                    self._take(turns, sampling)
                    turns = []
        finally:
            for future in playing.values():
                future.cancel()

    def sync_weights(self, weights: WeightSource, version: int) -> None:
        """Have the turns from now on sampled with these weights."""
        self._inner.sync_weights(weights, version)

    def close(self) -> None:
        """Close the environments and the generator of the turns. Calling it twice is fine."""
        if self._is_open:
            self._is_open = False
            self._played.close()
            self._stage.close()
        self._inner.close()

    def _begin(
        self, p: int, index: int, prompt: Prompt, seed: int, sampling: Sampling, events: SimpleQueue[Event]
    ) -> Future[vf.Episode]:
        task = read_reference(prompt.reference, prompt.id)
        opening = to_messages(task, f"prompt {prompt.id!r}")
        seat = Seat(p, index, seed, Conversation(prompt, opening, self._bridge, sampling.max_tokens), prompt)
        self._begun += 1
        future = self._stage.play(
            f"episode-{self._begun}",
            prompt.reference["taskset"],
            task,
            lambda question: events.put((seat, question)),
        )
        future.add_done_callback(lambda done: events.put((seat, done)))
        return future

    def _take(self, turns: Sequence[tuple[Seat, Question, NDArray[np.int32]]], sampling: Sampling) -> None:
        """Sample one turn of every episode: those of equal limits in one call, those of equal contexts as one group."""
        by_limit: defaultdict[int, dict[bytes, list[int]]] = defaultdict(dict)
        for number, (seat, _, ids) in enumerate(turns):
            limit = min(seat.conversation.room, self._config.turn_tokens or sampling.max_tokens)
            by_limit[limit].setdefault(ids.tobytes(), []).append(number)
        for limit, groups in by_limit.items():
            members = list(groups.values())
            sampled = self._inner.generate(
                [turns[group[0]][0].asked.with_token_ids(turns[group[0]][2]) for group in members],
                replace(sampling, max_tokens=limit),
                seeds=[[_turn_seed(turns[number][0]) for number in group] for group in members],
            )
            for group, rollouts in zip(members, sampled, strict=True):
                for number, rollout in zip(group, rollouts, strict=True):
                    self._answer(*turns[number], rollout)

    def _answer(self, seat: Seat, question: Question, ids: NDArray[np.int32], turn: Rollout) -> None:
        reply = to_reply(turn.text)
        content = reply.content if isinstance(reply.content, str) else ""
        seat.conversation.add(turn, Message(role="assistant", content=content))
        question.answer(Reply(content, reply.reasoning_content, turn.finish_reason, len(ids), len(turn.token_ids)))

    def _end(self, seat: Seat, future: Future[vf.Episode]) -> Rollout:
        """The rollout of an episode that has ended; its outcome waits for the verifier."""
        outcome, is_cut = _outcome(future)
        if outcome.reward is None and seat.conversation.turns == 0:
            raise GeneratorError(
                f"prompt {seat.asked.id!r}: its episode failed before the model's first turn: {outcome.problem}"
            )
        if outcome.reward is None:
            log.warning("prompt %r: an episode is unknown: %s", seat.asked.id, outcome.problem)
            return seat.conversation.rollout("abort")
        rollout = seat.conversation.rollout("length" if is_cut else "stop")
        self._played.put(seat.asked.id, rollout.text, outcome)
        return rollout


def _outcome(future: Future[vf.Episode]) -> tuple[Outcome, bool]:
    """What an episode came to, and whether a limit ended it. Raises errors of mopd as they are."""
    try:
        episode = future.result()
    except MopdError:
        raise
    except Exception as error:  # The boundary to the environment.
        return Outcome(None, f"{type(error).__name__}: {error}"), False
    if not episode.ok:
        errors = [*episode.errors, *(error for trace in episode.traces for error in trace.errors)]
        return Outcome(None, f"{errors[0].type}: {errors[0].message}" if errors else "it did not complete"), False
    if len(episode.traces) != 1:
        return Outcome(None, f"it holds {len(episode.traces)} runs of an agent; allowed: one"), False
    trace = episode.traces[0]
    return outcome_of(trace), trace.is_truncated


def _turn_seed(seat: Seat) -> int:
    turn = seat.conversation.turns
    return seat.seed if turn == 0 else derive_seed(seat.seed, turn, seat.asked.id, "turn")
