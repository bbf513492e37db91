"""A step's flat batch: the same response ids on both sides, predicted by the right rows, each token exactly once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_core.bundled.chat import build_tokenizer
from mopd_core.chat import encode_chat
from mopd_core.objectives.weights import TokenWeights
from mopd_core.output_head import Head
from mopd_core.peers.context import ContextConfig
from mopd_core.peers.teacher_prompt import TeacherPrompts
from mopd_core.training.batch import build_step, micro_batches, target_costs
from mopd_core.training.models import flat_hidden
from mopd_core.types import Message, Peer, PeerSelection, Prompt, RolloutGroup, Verdict

PASSED = Verdict(1.0, "passed")


def spelled(layout, row):
    """The tokens up to and with a flat row: what the model has read when it predicts the next one."""
    segment = next(s for s in layout.segments if s.start <= row < s.start + s.length)
    spans = (*segment.ancestors, slice(segment.start, row + 1))
    return [token for span in spans for token in layout.token_ids[span].tolist()]


def distilled_of(batch):
    return batch.tokens.has_context[batch.tokens.rollout]


def passes(batch, budget, mask=None):
    mask = batch.tokens.own if mask is None else mask
    return list(micro_batches(batch, mask, distilled_of(batch), budget))


def place_in_response(batch):
    """For every token of the step its target, and the response's tokens before it."""
    found = {}
    for target in batch.targets:
        for offset, place in enumerate(range(target.span.start, target.span.stop)):
            found[place] = (target, target.response[:offset].tolist())
    return found


def check_rows(batch, micros):
    """Every evaluated token's rows have read its prompt and the response before it, and nothing else."""
    where = place_in_response(batch)
    for micro in micros:
        for order, place in enumerate(micro.tokens.tolist()):
            target, before = where[place]
            read = spelled(micro.student, int(micro.student_rows[order]))
            assert read == [*target.prompt.tolist(), *before]
            if order < micro.n_distilled:
                read = spelled(micro.teacher, int(micro.teacher_rows[order]))
                assert read == [*target.teacher_prompt.tolist(), *before]
        assert len(micro.teacher_rows) == micro.n_distilled
        assert (micro.teacher is None) == (micro.n_distilled == 0)


def test_the_flat_tokens_are_the_responses_in_order(make_step):
    groups, prompts, batch = make_step()
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    tokens = batch.tokens
    assert tokens.tokens.tolist() == np.concatenate([rollout.token_ids for rollout in rollouts]).tolist()
    assert tokens.own.tolist() == np.concatenate([rollout.own for rollout in rollouts]).tolist()
    assert tokens.behaviour_logprobs.tolist() == np.concatenate([rollout.logprobs for rollout in rollouts]).tolist()
    assert tokens.group.tolist() == [0] * 4 + [1] * 3 + [2] * 3
    assert tokens.reward.tolist() == [1.0, 0.0, 0.0, 0.5, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert tokens.known.tolist() == [True, True, False, True, True, True, False, True, True, False]
    assert tokens.has_context.tolist() == [prompt is not None for row in prompts for prompt in row]
    assert not tokens.has_context.all()
    for number, target in enumerate(batch.targets):
        assert (tokens.rollout[target.span] == number).all()
        assert tokens.tokens[target.span].tolist() == target.response.tolist()


@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_rows_have_read_the_prompt_and_the_response_so_far(make_step, budget):
    batch = make_step()[2]
    check_rows(batch, passes(batch, budget))


@pytest.mark.parametrize("budget", [40, 100_000])
def test_rows_predict_the_responses_tokens(make_exact, make_step, plain, budget):
    """log p of every response token, at its row, is the plain forward's of the whole sequence."""
    model, (_, _, batch) = make_exact(), make_step()
    expected = torch.full((2, len(batch.tokens.tokens)), float("nan"), dtype=torch.float64)
    found = expected.clone()
    for target in batch.targets:
        for side, prompt in enumerate((target.prompt, target.teacher_prompt)):
            if prompt is not None:
                logits = plain(model, np.concatenate([prompt, target.response]), "logits").detach()
                log_p = logits[len(prompt) - 1 : -1].log_softmax(-1)
                expected[side, target.span] = log_p.gather(1, batch.tokens.tokens[target.span, None]).squeeze(1)
    for micro in passes(batch, budget, mask=torch.ones_like(batch.tokens.own)):
        targets = batch.tokens.tokens[micro.tokens]
        sides = [(micro.student, micro.student_rows, slice(None))]
        if micro.teacher is not None:
            sides.append((micro.teacher, micro.teacher_rows, slice(micro.n_distilled)))
        for side, (sequences, rows, part) in enumerate(sides):
            log_p = Head(model)(flat_hidden(model, sequences))[rows].log_softmax(-1).detach()
            found[side, micro.tokens[part]] = log_p.gather(1, targets[part, None]).squeeze(1)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(budget=st.integers(1, 400), seed=st.integers(0, 3), rng=st.randoms(use_true_random=False))
def test_every_masked_token_is_evaluated_once_whatever_the_budget(make_step, budget, seed, rng):
    batch = make_step(seed)[2]
    mask = torch.tensor([rng.random() < 0.7 for _ in range(len(batch.tokens.tokens))])
    distilled = distilled_of(batch) & torch.tensor([rng.random() < 0.6 for _ in range(len(mask))])
    micros = list(micro_batches(batch, mask, distilled, budget))
    evaluated = torch.cat([torch.zeros(0, dtype=torch.int64), *(micro.tokens for micro in micros)])
    assert sorted(evaluated.tolist()) == mask.nonzero().squeeze(1).tolist()
    for micro in micros:
        assert distilled[micro.tokens[: micro.n_distilled]].all()
        assert not distilled[micro.tokens[micro.n_distilled :]].any()
    check_rows(batch, micros)


def test_passes_keep_to_the_budget(make_step):
    """The longest target takes 26 + 44 tokens of prompts and twice 11 of response."""
    batch = make_step()[2]
    for budget in (92, 200, 400):
        sizes = [len(micro.student) + len(micro.teacher or ()) for micro in passes(batch, budget)]
        assert max(sizes) <= budget
    assert [len(passes(batch, budget)) for budget in (1, 100_000)] == [10, 1]


def test_a_group_that_fits_is_not_cut(make_step):
    """By themselves the groups count as 175, 85 and 155 tokens."""
    batch = make_step()[2]
    for budget in (200, 300, 350):
        groups = [
            {batch.tokens.group[batch.tokens.rollout[n]].item() for n in micro.tokens}
            for micro in passes(batch, budget)
        ]
        assert sorted(group for of_pass in groups for group in of_pass) == [0, 1, 2]


def test_of_a_group_that_is_cut_each_context_is_read_once(make_rollout, draw_ids):
    """Two contexts of 60 tokens in turns, and a budget for half of the group."""
    prompt = Prompt("p", (), token_ids=draw_ids(20))
    rollouts = [make_rollout([number + 2] * 10) for number in range(8)]
    contexts = [np.concatenate([draw_ids(20), draw_ids(40, number)]) for number in (1, 2)]
    batch = build_step([group_of(prompt, *rollouts)], [contexts * 4])
    one, other = passes(batch, 20 + 60 + 2 * 4 * 10 + 4 * 2 * 15)
    assert [len(micro.teacher) for micro in (one, other)] == [60 + 4 * 9] * 2
    check_rows(batch, [one, other])


def test_a_groups_prompts_are_read_once_a_pass(make_step):
    """Prompt 0 has 20 tokens, its teacher's 38, and 27 response tokens less the last of each of 4 rollouts."""
    groups, prompts, _ = make_step()
    batch = build_step(groups[:1], [[prompts[0][0]] * 4])
    (micro,) = passes(batch, 100_000)
    assert len(micro.student) == 20 + 27 - 4
    assert len(micro.teacher) == 38 + 27 - 4


def group_of(prompt, *rollouts):
    return RolloutGroup(prompt, rollouts, (PASSED,) * len(rollouts))


def test_aborted_rollouts_are_left_out_and_empty_ones_keep_their_reward(make_rollout, draw_ids):
    prompt = Prompt("p", (), token_ids=draw_ids(5))
    rollouts = [make_rollout([]), make_rollout([3, 4], "abort"), make_rollout([5], "length"), make_rollout([6, 7])]
    batch = build_step([group_of(prompt, *rollouts)], [[draw_ids(9)] * 4])
    assert [(target.group, target.index) for target in batch.targets] == [(0, 0), (0, 2), (0, 3)]
    assert batch.tokens.tokens.tolist() == [5, 6, 7]
    assert batch.tokens.rollout.tolist() == [1, 2, 2]
    assert len(batch.tokens.reward) == 3
    check_rows(batch, passes(batch, 100))


def test_a_step_of_which_nothing_is_left(make_rollout, draw_ids):
    prompt = Prompt("p", (), token_ids=draw_ids(5))
    for groups in ([], [group_of(prompt, make_rollout([]), make_rollout([3], "abort"))]):
        batch = build_step(groups, [[None] * len(group) for group in groups])
        assert len(batch.targets) == len(groups)
        assert len(batch.tokens.tokens) == 0
        assert passes(batch, 100) == []


def test_a_rollout_without_own_tokens_is_not_read(make_rollout, draw_ids):
    prompt = Prompt("p", (), token_ids=draw_ids(5))
    batch = build_step([group_of(prompt, make_rollout([3, 4], own=[False, False]))], [[draw_ids(9)]])
    assert passes(batch, 100) == []


def test_a_teacher_is_read_only_for_tokens_that_are_evaluated(make_step):
    """An objective may give a divergence's weight to tokens that it masks; no row is asked of the teacher for them."""
    batch = make_step()[2]
    n = len(batch.tokens.tokens)
    mask = torch.arange(n) % 2 == 0
    for micro in micro_batches(batch, mask, ~mask & distilled_of(batch), 60):
        assert micro.teacher is None
        weights = TokenWeights(torch.ones(n), (~mask).float(), mask)
        (part,) = micro.head_tokens(batch.tokens, weights, torch.device("cpu"))
        assert part.teacher_rows is None
        assert part.targets.tolist() == batch.tokens.tokens[micro.tokens].tolist()


def test_head_tokens_are_those_with_a_teacher_and_then_the_others(make_step):
    batch = make_step()[2]
    n = len(batch.tokens.tokens)
    weights = TokenWeights(torch.arange(n).float(), torch.arange(n).float() + 0.5, batch.tokens.own)
    for micro in passes(batch, 100_000):
        with_teacher, without = micro.head_tokens(batch.tokens, weights, torch.device("cpu"))
        assert len(with_teacher.targets) == len(with_teacher.teacher_rows) == micro.n_distilled
        assert without.teacher_rows is None
        for part, places in (
            (with_teacher, micro.tokens[: micro.n_distilled]),
            (without, micro.tokens[micro.n_distilled :]),
        ):
            assert part.targets.tolist() == batch.tokens.tokens[places].tolist()
            assert part.logprob_weights.tolist() == places.float().tolist()
            assert part.divergence_weights.tolist() == (places + 0.5).tolist()


@pytest.fixture(scope="module")
def tokenizer():
    """A real tokenizer that knows ` solve` and ` answer` as single tokens, among others."""
    return build_tokenizer([" solve the answer of 12 + 3"] * 20, 300, max_length=512)


ODD_RESPONSES = {
    "as sampled": lambda encode: encode(" solve the answer"),
    "split otherwise": lambda encode: [token for letter in " solve" for token in encode(letter)],
    "half a character": lambda encode: encode("é")[:1],
    "one token": lambda encode: encode(" answer"),
    "stopped by length": lambda encode: encode(" the answer of"),
    "special tokens within": lambda encode: [*encode(" solve"), 1, 4, *encode(" the")],
    "ends its turn": lambda encode: [*encode(" answer"), 1],
}


@pytest.mark.parametrize("name", ODD_RESPONSES)
def test_the_response_is_the_same_suffix_of_both_sequences(name, tokenizer, make_rollout):
    ids = ODD_RESPONSES[name](lambda text: tokenizer.encode(text, add_special_tokens=False))
    survives = tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False) == ids
    assert survives == (name not in ("split otherwise", "half a character"))
    messages = (Message(role="user", content="solve 12 + 3"),)
    prompt = Prompt("p", messages, token_ids=encode_chat(tokenizer, messages))
    peer = make_rollout(tokenizer.encode("the answer"))
    group = group_of(prompt, make_rollout(ids, "length" if "length" in name else "stop"), peer)
    builder = TeacherPrompts(ContextConfig(), tokenizer, 512)
    shown = [builder.build([group], 0, PeerSelection(t, (Peer(0, 1 - t, "success"),))).token_ids for t in (0, 1)]
    assert len(shown[0]) > len(prompt.token_ids)

    batch = build_step([group], [shown])
    (micro,) = passes(batch, 10_000)
    assert batch.targets[0].response.tolist() == ids
    for layout, start in ((micro.student, prompt.token_ids), (micro.teacher, shown[0])):
        read = layout.token_ids[layout.rows[0]].tolist()
        assert read == [*start.tolist(), *ids[:-1]]
        assert layout.positions[layout.rows[0]].tolist() == list(range(len(read)))
    check_rows(batch, [micro])


def test_the_longest_target_is_the_costliest_one_that_is_evaluated(make_step):
    """26 + 44 tokens of prompts and twice 11 of response; without its group 20 + 38 + 2 * 9, as 12 has no teacher."""
    batch = make_step()[2]
    mask = batch.tokens.own.clone()
    assert max(target_costs(batch, mask)) == 26 + 44 + 2 * 11
    mask[batch.tokens.group[batch.tokens.rollout] == 2] = False
    assert max(target_costs(batch, mask)) == 20 + 38 + 2 * 9
    assert target_costs(batch, torch.zeros_like(mask)) == []


@pytest.mark.parametrize("budget", [1, 150, 400, 10_000])
def test_without_sharing_what_pads_a_pass_counts(make_step, budget):
    _, _, batch = make_step()
    mask = batch.tokens.own
    passes = list(micro_batches(batch, mask, distilled_of(batch), budget, shares=False))
    seen = torch.cat([micro.tokens for micro in passes])
    assert sorted(seen.tolist()) == mask.nonzero()[:, 0].tolist()
    for micro in passes:
        sides = [side.rows for side in (micro.student, micro.teacher) if side is not None]
        padded = sum(len(rows) * (1 + max(map(len, rows))) for rows in sides)
        assert padded <= budget or len(micro.student.rows) == 1
    assert len(passes) == {1: 10, 10_000: 1}.get(budget, len(passes))
