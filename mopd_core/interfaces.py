"""The contracts of everything pluggable. A class that has these methods is an implementation; nothing is inherited.

Axes: P prompts in a step, G rollouts a prompt, N = P*G, T response tokens, V vocabulary, M outcomes of a divergence,
n tokens.
A new kind of plugin gets its protocol here, its hook in `hookspecs` and its context in `contexts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mopd_core.types import PeerSelection, Prompt, Rollout, RolloutGroup, Sampling, StepRecord, Verdict, VerifyItem

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mopd_core.divergences.known import KnownTokens
    from mopd_core.objectives.weights import TokenBatch, TokenScores, TokenWeights
    from mopd_core.training.layout import FlatSequences


class WeightSource(Protocol):
    """The student's current weights. Where they are split over ranks, every rank has to take all of them."""

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every weight once, under the names of its Hugging Face checkpoint, for engines that load one.

        A tied weight comes once, under the name that the checkpoint keeps.
        """
        ...

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The same under the names of the transformers model, where some families hold several weights as one."""
        ...


class Generator(Protocol):
    """Samples rollouts. Token ids in, token ids out: nothing is retokenised.

    It may also have `stream(prompts, sampling, *, seeds)`, which yields (p, g, rollout) as each rollout finishes: the
    rollouts of `generate`, each exactly once, in any order. They are then judged while others are still being sampled.
    And it may have `score(sequences)`: from token ids, [T] int32 each, to the log-probabilities of every token but the
    first, [T - 1] float32 each, nats, at temperature 1 over the whole vocabulary. After every sync they are held
    against the trainer's, so that weights which did not arrive stop the run. One that samples in several places, each
    with its own copy of the weights, may have `score_each(sequences)`, too: at least one list such as `score` gives,
    one for every place.
    """

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, seeds: Sequence[Sequence[int]]
    ) -> list[list[Rollout]]:
        """Sample len(seeds[p]) rollouts of each prompt p: P lists of G, in order. Each depends on its own seed only."""
        ...

    def sync_weights(self, weights: WeightSource, version: int) -> None:
        """Take the student's weights; rollouts sampled from now on carry `version`."""
        ...

    def close(self) -> None:
        """Free what is held. Calling it twice is fine."""
        ...


class Verifier(Protocol):
    """Judges responses.

    `verify` is called by several threads at once, none of them the main one, and with one item a call.
    It may also have `close()`, called when the run ends, and `check(items)`, called before it starts with every
    reference and empty responses: it raises `DataError` for one that cannot be used, and judges nothing costly.
    """

    def verify(self, items: Sequence[VerifyItem]) -> list[Verdict]:
        """One verdict an item, in order. Never raises for bad text; `unknown` where it could not decide.

        A reference that cannot be used raises `DataError` with the item's `prompt_id`.
        """
        ...


class PeerSelector(Protocol):
    """Chooses which rollouts the teacher is shown when it scores a target."""

    def select(self, groups: Sequence[RolloutGroup], rng: Random) -> list[list[PeerSelection]]:
        """For every group, one selection a rollout, in order; a target is never among its own peers."""
        ...


class Divergence(Protocol):
    """A per-token divergence of the student p from the teacher q over M outcomes.

    It may also have `value_and_grad(log_p, log_q) -> ([n], [n, M])`, the value and its derivative by log_p, taken with
    every entry of log_p free; without it the core differentiates `__call__`.
    """

    def __call__(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """log_p, log_q: [n, M] normalised log-probabilities, nats. Returns [n], nats, >= 0."""
        ...


class TeacherPass(Protocol):
    """One micro-batch that the teacher has read."""

    def logits(self, rows: Tensor) -> Tensor:
        """The teacher's logits [n, V] that predict the tokens after the flat rows [n], without gradient.

        They need not outlive the next call, so that chunk after chunk may use the same memory.
        """
        ...


@runtime_checkable
class TokenPass(Protocol):
    """A micro-batch that is read elsewhere, by a teacher that tells log-probabilities of a few tokens and no logits.

    Its config has to refuse, with `conflict`, what needs more: whole vocabularies and other temperatures than 1.
    """

    def expect(self, rows: Tensor, targets: Tensor, top_k: int | None) -> None:
        """Hear what `known` will be asked, before the student reads: the flat rows [n], and the token [n] after each.

        top_k: how many of the teacher's own most likely tokens, 0 for none; None where `known` will bring the tokens.
        """
        ...

    def known(self, rows: Tensor, targets: Tensor, ids: Tensor | None) -> KnownTokens:
        """log q after some of those rows [n]: of their targets [n], and of the tokens `ids` [n, K].

        ids is None where the teacher's own are meant, as many as `expect` was told.
        """
        ...


class Teacher(Protocol):
    """Scores responses in its own context, and follows the student as it likes.

    It may also have `close()`, called when the run ends; calling it twice is fine.
    """

    def read(self, sequences: FlatSequences) -> TeacherPass | TokenPass:
        """Read a micro-batch (teacher's prompts and the responses) without gradient."""
        ...

    def update(self, student: torch.nn.Module) -> None:
        """Follow the student after an optimiser step."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed run needs to continue exactly; empty where nothing changes."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` gave."""
        ...


class Objective(Protocol):
    """Turns a step into two weights a token; the step minimises the sum of w_t log p(y_t) + d_t D_t.

    uses_teacher: the step needs peers, contexts and the teacher's pass. needs_scores: `weights` reads `scores`, which
    costs one more forward pass without gradient.
    It may also have `weighs_importance: bool`: `weights` corrects for tokens that were sampled with older weights, by
    the ratio of their probabilities now and then. Without it, or where it is False, rollouts are never sampled ahead.
    """

    uses_teacher: bool
    needs_scores: bool

    def weights(self, batch: TokenBatch, scores: TokenScores | None) -> TokenWeights:
        """Weights for all tokens of the step, computed without gradient."""
        ...


class Tracker(Protocol):
    """Mirrors metrics.jsonl somewhere else."""

    def log(self, record: StepRecord) -> None:
        """Called once a step with its metrics."""
        ...

    def close(self) -> None:
        """Flush and let go. Calling it twice is fine."""
        ...


class PromptSource(Protocol):
    """A data set of prompts."""

    def load(self) -> PromptSets:
        """Read, map and check all rows; a bad row raises `DataError` naming it."""
        ...


class PromptSets(Protocol):
    """What a source gives: prompts to train on, and prompts held out for evaluation. Ids are unique over both."""

    @property
    def train(self) -> Sequence[Prompt]: ...

    @property
    def held_out(self) -> Sequence[Prompt]: ...


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that the core uses."""

    def encode(self, text: str, add_special_tokens: bool = ...) -> list[int]: ...

    def decode(self, token_ids: Any, skip_special_tokens: bool = ...) -> str: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...
