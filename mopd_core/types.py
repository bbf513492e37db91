"""The values that flow through a step: prompts, rollouts, verdicts, groups and peer selections.

Frozen dataclasses without torch, so that a verifier or selector plugin imports nothing heavy.
Axes: P prompts in a step, G rollouts a prompt, T response tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

Json: TypeAlias = Any
"""A value that JSON can hold. What a reference means is between a data set and its verifier."""

FinishReason = Literal["stop", "length", "abort"]
Status = Literal["passed", "failed", "unknown"]
Role = Literal["success", "failure"]
Form = Literal["full", "summary"]


class Message(TypedDict):
    """One chat message."""

    role: str
    content: str


def _no_ids() -> NDArray[np.int32]:
    return np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question and what its verifier needs to judge an answer.

    `token_ids` [S] is the rendered chat prompt, generation header included; the core fills it in for the generator.
    `verifier` routes this prompt to a verifier other than the run's default one.
    """

    id: str
    messages: tuple[Message, ...]
    reference: Json = None
    verifier: str | None = None
    token_ids: NDArray[np.int32] = field(default_factory=_no_ids, repr=False, compare=False)

    def with_token_ids(self, token_ids: NDArray[np.int32]) -> Prompt:
        return replace(self, token_ids=token_ids)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How rollouts are drawn. `top_k` 0 and `top_p` 1 leave the distribution whole; temperature 0 is greedy.

    `stop_ids` end a rollout; the one that did is the rollout's last token and is trained on.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response. Token ids are what is trained on; the text is for people and verifiers.

    token_ids: [T] int32. logprobs: [T] float32, nats, under the distribution that each token was drawn from, with
    temperature, top-p and top-k applied. own: [T] bool, tokens that the model itself produced. version: of the weights.
    """

    token_ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    text: str
    finish_reason: FinishReason
    version: int
    own: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not len(self.token_ids) == len(self.logprobs) == len(self.own):
            raise ValueError(
                f"a rollout needs one log-probability and one own flag a token; got {len(self.token_ids)} tokens, "
                f"{len(self.logprobs)} log-probabilities and {len(self.own)} flags"
            )
        if self.finish_reason not in get_args(FinishReason):
            raise ValueError(f"finish_reason is {self.finish_reason!r}; allowed: {', '.join(get_args(FinishReason))}")


@dataclass(frozen=True, slots=True)
class VerifyItem:
    """What a verifier judges: a response against a reference. The prompt is there for verifiers that read it."""

    response: str
    reference: Json
    prompt_id: str = ""
    messages: tuple[Message, ...] = ()
    finish_reason: FinishReason = "stop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier said. `unknown` means that it could not decide: neither a success nor a failure, never shown.

    reward: in [0, 1]; above 0 when passed, below 1 when failed, 0 when unknown. feedback: text for the teacher, if the
    verifier has something to say; the router keeps a bounded length of it, and refuses a status against its reward.
    caveats: what weakens this verdict, one short phrase each, such as `tests and candidate in one process`.
    """

    reward: float
    status: Status
    feedback: str | None = None
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"a verdict's status is {self.status!r}; allowed: {', '.join(get_args(Status))}")
        if not (math.isfinite(self.reward) and 0.0 <= self.reward <= 1.0):
            raise ValueError(f"a verdict's reward is {self.reward!r}; allowed: a number in [0, 1]")
        object.__setattr__(self, "reward", float(self.reward))  # A NumPy number or a truth value could not be saved.


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The G rollouts of one prompt with their verdicts. A success has a reward of at least `threshold`."""

    prompt: Prompt
    rollouts: tuple[Rollout, ...]
    verdicts: tuple[Verdict, ...]
    threshold: float = 1.0

    def __post_init__(self) -> None:
        if len(self.rollouts) != len(self.verdicts):
            raise ValueError(f"a group needs one verdict a rollout; got {len(self.rollouts)} and {len(self.verdicts)}")

    def __len__(self) -> int:
        return len(self.rollouts)

    def is_known(self, index: int) -> bool:
        return self.verdicts[index].status != "unknown"

    def is_success(self, index: int) -> bool:
        return self.is_known(index) and self.verdicts[index].reward >= self.threshold

    @property
    def known(self) -> tuple[int, ...]:
        """Indices of the rollouts that were judged."""
        return tuple(i for i in range(len(self)) if self.is_known(i))

    @property
    def successes(self) -> tuple[int, ...]:
        """Indices of the rollouts whose reward reaches the threshold."""
        return tuple(i for i in self.known if self.is_success(i))

    @property
    def failures(self) -> tuple[int, ...]:
        """Indices of the judged rollouts whose reward does not."""
        return tuple(i for i in self.known if not self.is_success(i))


@dataclass(frozen=True, slots=True)
class Peer:
    """One rollout shown to the teacher: rollout `index` of the step's group number `group`.

    role: how the teacher's prompt introduces it. It is the slot's: a control may fill a success's slot with a failure.
    """

    group: int
    index: int
    role: Role
    form: Form = "full"


@dataclass(frozen=True, slots=True)
class PeerSelection:
    """What the teacher is shown when it scores rollout `target` of its group.

    `needs_context`: with nothing to show, the target is masked (the method's rule). A selector that distils without any
    context (`none`) sets it to False.
    """

    target: int
    peers: tuple[Peer, ...] = ()
    needs_context: bool = True


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What lifecycle hooks and trackers see of a finished step: its number (from 1) and its metrics."""

    step: int
    metrics: Mapping[str, float]
