"""What a generator has to satisfy, as tests: subclass `GeneratorSuite` and give it three fixtures.

    class TestMine(GeneratorSuite):
        @pytest.fixture
        def model(self): ...        # a transformers causal model, in eval mode: what a trainer would compute with

        @pytest.fixture
        def generator(self, model): ...     # built from the same weights

        @pytest.fixture
        def prompts(self): ...      # at least three, rendered, of different lengths

Log-probabilities are held against a forward pass of `model` over each rollout alone, restricted here a second time and
in float64. A rule that every generator must keep becomes a test here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mopd_core.interfaces import Generator
from mopd_core.testing.suite import ConformanceSuite
from mopd_core.training.canary import Canary
from mopd_core.types import Prompt, Rollout, Sampling

PLAIN = Sampling(max_tokens=12)


@dataclass(frozen=True, slots=True)
class ModuleWeights:
    """A `WeightSource` over a module's parameters; tied ones come once."""

    module: torch.nn.Module

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        return self.named_parameters()

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.module.named_parameters():
            yield name, parameter.detach()


def distinct_seeds(prompts: Sequence[Prompt], group_size: int) -> list[list[int]]:
    """P lists of `group_size` seeds, all different."""
    return [[1000 * p + g for g in range(group_size)] for p in range(len(prompts))]


def restrict(logits: Tensor, sampling: Sampling) -> Tensor:
    """Log-probabilities [V], nats, float64, that sampling leaves of logits [V]; -inf for what cannot be drawn."""
    log_p = (logits.double() / sampling.temperature).log_softmax(-1)
    ranked = log_p.argsort(descending=True)
    if sampling.top_k:
        ranked = ranked[: sampling.top_k]
    mass = log_p[ranked].softmax(-1)
    kept = ranked[mass.cumsum(-1) - mass < sampling.top_p]
    return torch.full_like(log_p, -torch.inf).scatter(-1, kept, log_p[kept].log_softmax(-1))


@torch.no_grad()
def response_logits(model: Any, prompt: Prompt, rollout: Rollout) -> Tensor:
    """The logits [T, V], float32, that predict each token of a rollout: one forward pass over prompt and response."""
    ids = torch.from_numpy(np.concatenate([prompt.token_ids, rollout.token_ids]).astype(np.int64))
    logits: Tensor = model(input_ids=ids[None].to(model.device)).logits[0]
    return logits[len(prompt.token_ids) - 1 : -1].float().cpu()


def fresh_log_probs(model: Any, prompt: Prompt, rollout: Rollout, sampling: Sampling) -> NDArray[np.float64]:
    """A rollout's log-probabilities [T], nats, as the trainer's model gives them under `sampling`."""
    logits = response_logits(model, prompt, rollout)
    chosen = [restrict(row, sampling)[int(token)] for row, token in zip(logits, rollout.token_ids, strict=True)]
    return torch.stack(chosen).numpy()


@torch.no_grad()
def _fresh_scores(model: Any, sequences: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
    """What `score` should give, one sequence after the other: a forward pass of the model over each alone."""
    found = []
    for sequence in sequences:
        ids = torch.from_numpy(sequence.astype(np.int64)).to(model.device)
        log_p = model(input_ids=ids[None]).logits[0, :-1].float().log_softmax(-1)
        found.append(log_p.gather(-1, ids[1:, None])[:, 0].cpu().numpy())
    return np.concatenate(found)


def ids_of(groups: Sequence[Sequence[Rollout]]) -> list[list[list[int]]]:
    """Token ids of P groups of G rollouts, as plain lists."""
    return [[rollout.token_ids.tolist() for rollout in group] for group in groups]


class GeneratorSuite(ConformanceSuite):
    """Conformance of one generator. `tolerance`: how far log-probabilities may be from a fresh forward pass, nats."""

    tolerance = 1e-4

    @pytest.fixture
    def model(self) -> Any:
        raise NotImplementedError("override the fixture `model` to return a transformers model with the same weights")

    @pytest.fixture
    def generator(self, model: Any) -> Generator:
        raise NotImplementedError("override the fixture `generator` to return the generator under test")

    @pytest.fixture
    def prompts(self) -> Sequence[Prompt]:
        raise NotImplementedError("override the fixture `prompts` to return at least three rendered prompts")

    def test_gives_as_many_rollouts_as_seeds_in_order(self, generator: Generator, prompts: Sequence[Prompt]) -> None:
        seeds = [[], [5], *([7, 8, 9] for _ in prompts[2:])]
        groups = generator.generate(prompts, PLAIN, seeds=seeds)
        assert [len(group) for group in groups] == [len(group) for group in seeds]
        for prompt, group, group_seeds in zip(prompts, groups, seeds, strict=True):
            for rollout, seed in zip(group, group_seeds, strict=True):
                assert ids_of(generator.generate([prompt], PLAIN, seeds=[[seed]])) == ids_of([[rollout]])

    def test_a_stream_gives_every_rollout_of_generate_once(
        self, generator: Generator, prompts: Sequence[Prompt]
    ) -> None:
        """`stream` is optional; the order is its own."""
        stream = getattr(generator, "stream", None)
        if stream is None:
            pytest.skip("it has no `stream`")
        sampling, seeds = replace(PLAIN, stop_ids=(2, 3, 4, 5)), [[], [5], *([7, 8, 9] for _ in prompts[2:])]
        groups = generator.generate(prompts, sampling, seeds=seeds)
        streamed = [((p, g), rollout) for p, g, rollout in stream(prompts, sampling, seeds=seeds)]
        assert sorted(key for key, _ in streamed) == [
            (p, g) for p, group in enumerate(seeds) for g in range(len(group))
        ]
        for (p, g), rollout in streamed:
            same = groups[p][g]
            assert rollout.token_ids.tolist() == same.token_ids.tolist()
            assert (rollout.text, rollout.finish_reason) == (same.text, same.finish_reason)
            np.testing.assert_allclose(rollout.logprobs, same.logprobs, rtol=0, atol=self.tolerance)

    def test_no_prompts_give_no_rollouts(self, generator: Generator) -> None:
        assert generator.generate([], PLAIN, seeds=[]) == []

    def test_a_rollout_has_one_log_prob_and_one_flag_a_token(
        self, generator: Generator, prompts: Sequence[Prompt]
    ) -> None:
        for group in generator.generate(prompts, PLAIN, seeds=distinct_seeds(prompts, 2)):
            for rollout in group:
                n = len(rollout.token_ids)
                assert 1 <= n <= PLAIN.max_tokens
                assert rollout.token_ids.shape == rollout.logprobs.shape == rollout.own.shape == (n,)
                assert rollout.token_ids.dtype == np.int32
                assert rollout.logprobs.dtype == np.float32
                assert rollout.own.dtype == np.bool_
                assert rollout.own.all()
                assert np.isfinite(rollout.logprobs).all()
                assert (rollout.logprobs <= 0).all()

    @pytest.mark.parametrize(
        "restriction",
        [
            {},
            {"temperature": 0.6},
            {"temperature": 1.7},
            {"top_k": 5},
            {"top_p": 0.7},
            {"temperature": 1.3, "top_k": 20, "top_p": 0.8},
        ],
        ids=str,
    )
    def test_log_probs_are_those_of_a_fresh_forward_pass(
        self, generator: Generator, prompts: Sequence[Prompt], model: Any, restriction: dict[str, Any]
    ) -> None:
        sampling = replace(PLAIN, **restriction)
        groups = generator.generate(prompts, sampling, seeds=distinct_seeds(prompts, 2))
        self._assert_log_probs(model, prompts, groups, sampling)

    def test_greedy_takes_the_best_token_for_certain(
        self, generator: Generator, prompts: Sequence[Prompt], model: Any
    ) -> None:
        groups = generator.generate(prompts, replace(PLAIN, temperature=0.0), seeds=[[0] for _ in prompts])
        for prompt, (rollout,) in zip(prompts, groups, strict=True):
            logits = response_logits(model, prompt, rollout)
            chosen = logits.gather(-1, torch.from_numpy(rollout.token_ids.astype(np.int64))[:, None])[:, 0]
            assert (logits.max(-1).values - chosen <= self.tolerance).all()
            assert (rollout.logprobs == 0).all()

    def test_equal_seeds_give_equal_rollouts_and_others_differ(
        self, generator: Generator, prompts: Sequence[Prompt]
    ) -> None:
        groups = ids_of(generator.generate(prompts, PLAIN, seeds=[[3, 3, 4] for _ in prompts]))
        assert groups == ids_of(generator.generate(prompts, PLAIN, seeds=[[3, 3, 4] for _ in prompts]))
        assert all(first == second for first, second, _ in groups)
        assert any(first != third for first, _, third in groups)

    def test_a_rollout_does_not_depend_on_the_batch_it_is_in(
        self, generator: Generator, prompts: Sequence[Prompt]
    ) -> None:
        seeds = distinct_seeds(prompts, 2)
        together = ids_of(generator.generate(prompts, PLAIN, seeds=seeds))
        backwards = ids_of(generator.generate(prompts[::-1], PLAIN, seeds=seeds[::-1]))
        alone = [
            ids_of(generator.generate([prompt], PLAIN, seeds=[group]))[0]
            for prompt, group in zip(prompts, seeds, strict=True)
        ]
        assert together == backwards[::-1] == alone

    def test_stops_with_the_first_stop_token(self, generator: Generator, prompts: Sequence[Prompt]) -> None:
        seeds = distinct_seeds(prompts, 2)
        free = generator.generate(prompts, PLAIN, seeds=seeds)
        stop_ids = tuple({int(group[0].token_ids[len(group[0].token_ids) // 2]) for group in free})
        stopped = generator.generate(prompts, replace(PLAIN, stop_ids=stop_ids), seeds=seeds)
        for free_group, stopped_group in zip(free, stopped, strict=True):
            for before, after in zip(free_group, stopped_group, strict=True):
                stops = np.flatnonzero(np.isin(before.token_ids, stop_ids))
                length = int(stops[0]) + 1 if len(stops) else len(before.token_ids)
                assert after.token_ids.tolist() == before.token_ids[:length].tolist()
                assert after.finish_reason == ("stop" if len(stops) else before.finish_reason)

    def test_max_tokens_limits_the_length(self, generator: Generator, prompts: Sequence[Prompt]) -> None:
        sampling = replace(PLAIN, max_tokens=3)
        for group in generator.generate(prompts, sampling, seeds=distinct_seeds(prompts, 2)):
            for rollout in group:
                assert len(rollout.token_ids) == 3
                assert rollout.finish_reason == "length"

    def test_synced_weights_and_their_version_are_used(
        self, generator: Generator, prompts: Sequence[Prompt], model: Any
    ) -> None:
        seeds = distinct_seeds(prompts, 2)
        before = generator.generate(prompts, PLAIN, seeds=seeds)
        changed = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in changed.parameters():
                parameter.mul_(1.25)
        generator.sync_weights(ModuleWeights(changed), 7)
        after = generator.generate(prompts, PLAIN, seeds=seeds)
        assert {rollout.version for group in after for rollout in group} == {7}
        self._assert_log_probs(changed, prompts, after, PLAIN)
        assert [rollout.logprobs.tolist() for group in before for rollout in group] != [
            rollout.logprobs.tolist() for group in after for rollout in group
        ]

    def test_scores_are_those_of_a_fresh_forward_pass_before_and_after_a_sync(
        self, generator: Generator, prompts: Sequence[Prompt], model: Any
    ) -> None:
        """`score` is optional; the canary holds it against the trainer's after every sync."""
        score = getattr(generator, "score", None)
        if score is None:
            pytest.skip("it has no `score`")
        sequences = [prompt.token_ids for prompt in prompts]
        canary = Canary("under test", sequences, model.device, torch.float32, tolerance=self.tolerance)
        before = _fresh_scores(model, sequences)
        canary.check(before, score(sequences), 0)
        changed = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in changed.parameters():
                parameter.mul_(1.25)
        generator.sync_weights(ModuleWeights(changed), 7)
        after = _fresh_scores(changed, sequences)
        assert np.abs(after - before).mean() > 10 * self.tolerance
        canary.check(after, score(sequences), 7)

    def test_can_be_closed_twice(self, generator: Generator) -> None:
        generator.close()
        generator.close()

    def _assert_log_probs(
        self, model: Any, prompts: Sequence[Prompt], groups: Sequence[Sequence[Rollout]], sampling: Sampling
    ) -> None:
        for prompt, group in zip(prompts, groups, strict=True):
            for rollout in group:
                expected = fresh_log_probs(model, prompt, rollout, sampling)
                np.testing.assert_allclose(rollout.logprobs, expected, rtol=0, atol=self.tolerance)
