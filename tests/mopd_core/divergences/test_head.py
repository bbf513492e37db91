"""The chunked head against a dense float64 reference: loss, gradients of hidden states and head, and stats."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mopd_core.divergences import config as configs
from mopd_core.divergences import factories, tiles
from mopd_core.divergences.config import DivergenceConfig
from mopd_core.divergences.head import HeadLoss, HeadTokens, chunk_size
from mopd_core.divergences.outcomes import Outcomes
from mopd_core.errors import PluginError
from mopd_core.output_head import Head

V, D, N, M = 23, 6, 17, 11


@pytest.fixture(autouse=True)
def _tiles_of_two_rows(monkeypatch):
    """Smaller than the chunks here; a vocabulary this small would make one tile of each."""
    monkeypatch.setattr(tiles, "CPU_ENTRIES", 2 * V)


def kl(log_a, log_b):
    return (log_a.exp() * (log_a - log_b)).sum(-1)


def mix(share, log_a, log_b):
    return (share * log_a.exp() + (1 - share) * log_b.exp()).log()


def jsd(p, q):
    m = mix(0.7, p, q)
    return 0.7 * kl(p, m) + 0.3 * kl(q, m)


FORMULAS = {
    "forward-kl": (configs.ForwardKLConfig(), factories.build_forward_kl, lambda p, q: kl(q, p)),
    "reverse-kl": (configs.ReverseKLConfig(), factories.build_reverse_kl, kl),
    "jsd": (configs.JSDConfig(weight=0.3), factories.build_jsd, jsd),
    "skew-kl": (configs.SkewKLConfig(skew=0.2), factories.build_skew_kl, lambda p, q: kl(q, mix(0.2, q, p))),
    "total-variation": (
        configs.TotalVariationConfig(),
        factories.build_total_variation,
        lambda p, q: (p.exp() - q.exp()).abs().sum(-1) / 2,
    ),
    "alpha": (
        configs.AlphaConfig(order=0.4),
        factories.build_alpha,
        lambda p, q: (0.4 * p + 0.6 * q).exp().sum(-1).log() / -0.6,
    ),
}
OUTCOMES = {
    "full": {},
    "tail": {"top_k": 5},
    "tail of the teacher's": {"top_k": 5, "support": "teacher"},
    "renormalised": {"top_k": 5, "remainder": "renormalise"},
    "renormalised of the teacher's": {"top_k": 5, "remainder": "renormalise", "support": "teacher"},
    "hot": {"temperature": 1.7},
    "hot tail": {"temperature": 0.6, "top_k": 4},
}


class HalfSquares:
    """A third party's formula without `value_and_grad`: half the squared distance of probabilities."""

    def __call__(self, log_p, log_q):
        return (log_p.exp() - log_q.exp()).square().sum(-1) / 2


class Given:
    """A teacher whose logits are given."""

    def __init__(self, logits):
        self.all = logits

    def logits(self, rows):
        return self.all[rows]


class Case:
    """Random hidden states [N, D] of N flat rows, M tokens to evaluate at some of them, and a head with its model.

    Tied: the hidden states are the head's own weights, moved by a matrix, as embeddings are.
    """

    def __init__(self, tied=False, bias=False, dtype=torch.float64, kind=nn.Linear, low_rank=False, **head_options):
        draw = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

        self.linear = kind(D, V, bias=bias, dtype=dtype)
        with torch.no_grad():
            for parameter in self.linear.parameters():
                parameter.copy_(normal(*parameter.shape))
        if low_rank:
            self.linear = LowRank(self.linear, normal)
        config = SimpleNamespace(**head_options)
        self.head = Head(SimpleNamespace(config=config, get_output_embeddings=lambda: self.linear))
        self.tied = tied
        self.inputs = normal(N, D).requires_grad_()
        self.teacher = Given(normal(N, V) * 2)
        self.tokens = HeadTokens(
            rows=torch.randint(0, N, (M,), generator=draw),
            teacher_rows=torch.randint(0, N, (M,), generator=draw),
            targets=torch.randint(0, V, (M,), generator=draw),
            logprob_weights=torch.randn(M, generator=draw),
            divergence_weights=torch.rand(M, generator=draw),
        )

    def hidden(self):
        return self.inputs + self.linear.weight[torch.arange(N) % V] if self.tied else self.inputs

    def gradients(self, loss):
        return torch.autograd.grad(loss, [self.inputs, *self.head.parameters()])

    def loss(self, divergence, options, chunk, sampling_temperature=1.0, count=7.0, teacher=True, tokens=None):
        outcomes = Outcomes(DivergenceConfig(**options))
        head_loss = HeadLoss(self.head, divergence, outcomes, sampling_temperature, chunk)
        return head_loss(self.hidden(), tokens or self.tokens, self.teacher if teacher else None, count)

    def dense_logits(self):
        logits = self.linear(self.hidden()[self.tokens.rows])
        logits = logits * self.head.scale
        return logits if self.head.softcap is None else self.head.softcap * torch.tanh(logits / self.head.softcap)

    def dense(self, formula, options, sampling_temperature=1.0, count=7.0):
        """The definition, with all logits at once and autograd alone; the loss, and D and log p(y) of every token."""
        logits, teacher = self.dense_logits(), self.teacher.all[self.tokens.teacher_rows]
        divergence = formula(*dense_outcomes(logits, teacher, **options))
        chosen = (logits / sampling_temperature).log_softmax(-1)[torch.arange(M), self.tokens.targets]
        w, d = self.tokens.logprob_weights.double(), self.tokens.divergence_weights.double()
        return (w * chosen + d * divergence).sum() / count, divergence, chosen


def dense_outcomes(logits, teacher, top_k=None, remainder="tail", support="student", temperature=1.0):
    p, q = ((side / temperature).softmax(-1) for side in (logits, teacher))
    if top_k is None:
        return p.log(), q.log()
    ids = (p if support == "student" else q).topk(top_k).indices
    p, q = p.gather(-1, ids), q.gather(-1, ids)
    if remainder == "renormalise":
        return (p / p.sum(-1, keepdim=True)).log(), (q / q.sum(-1, keepdim=True)).log()
    return tuple(torch.cat([side, 1 - side.sum(-1, keepdim=True)], -1).log() for side in (p, q))


def assert_equal_gradients(found, expected, tolerance=1e-9):
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 0
        assert (one - other).abs().max() <= tolerance * other.abs().max()


def check(case, divergence, formula, options, chunk, **others):
    loss, stats = case.loss(divergence, options, chunk, **others)
    expected, of_tokens, chosen = case.dense(formula, options, **others)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(stats.divergence, of_tokens, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(stats.logprobs, chosen, rtol=1e-9, atol=0)
    assert_equal_gradients(case.gradients(loss), case.gradients(expected))


@pytest.mark.parametrize("options", OUTCOMES)
@pytest.mark.parametrize("name", FORMULAS)
def test_every_divergence_on_all_outcomes(name, options):
    config, build, formula = FORMULAS[name]
    check(Case(), build(config, None), formula, OUTCOMES[options], chunk=4)


@pytest.mark.parametrize("options", OUTCOMES)
def test_a_third_partys_formula_goes_through_autograd(options):
    divergence = HalfSquares()
    check(Case(), divergence, divergence, OUTCOMES[options], chunk=4)


HEADS = {
    "plain": {},
    "tied": {"tied": True},
    "bias": {"bias": True},
    "soft-capped": {"final_logit_softcapping": 2.0},
    "scaled up": {"logit_scale": 0.25},
    "scaled down": {"logits_scaling": 3.0},
    "tied, scaled and soft-capped": {"tied": True, "logit_scale": 2.0, "final_logit_softcapping": 1.5},
}


class Unknown(nn.Linear):
    """A class that the head knows nothing of, so that only autograd can tell its gradients."""


class LowRank(nn.Module):
    """A frozen head with an adapter of rank 2, as LoRA has them: logits W h + 0.5 B A h."""

    def __init__(self, base, draw):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = (nn.Parameter(draw(*shape)) for shape in ((2, D), (V, 2)))

    @property
    def weight(self):
        return self.base.weight

    def forward(self, hidden):
        return self.base(hidden) + 0.5 * hidden @ self.down.T @ self.up.T


@pytest.mark.parametrize("options", ["full", "tail"])
@pytest.mark.parametrize("kind", [nn.Linear, Unknown])
@pytest.mark.parametrize("head", HEADS)
def test_every_head(head, kind, options):
    config, build, formula = FORMULAS["jsd"]
    case = Case(**HEADS[head], kind=kind)
    assert (case.head.plain is None) == (kind is Unknown)
    check(case, build(config, None), formula, OUTCOMES[options], chunk=3)


def test_an_adapter_on_the_head_is_trained_and_its_base_is_not():
    config, build, formula = FORMULAS["jsd"]
    check(Case(low_rank=True), build(config, None), formula, {}, chunk=3)


@pytest.mark.parametrize("chunk", [1, 3, M - 1, M, M + 1, 1000])
@pytest.mark.parametrize("tile", [1, 3, 1000])
@pytest.mark.parametrize("name", ["jsd", "third party"])
def test_any_chunk_and_tile_size(name, tile, chunk, monkeypatch):
    monkeypatch.setattr(tiles, "CPU_ENTRIES", tile * V)
    config, build, formula = FORMULAS["jsd"]
    divergence, formula = (HalfSquares(), HalfSquares()) if name == "third party" else (build(config, None), formula)
    check(Case(tied=True), divergence, formula, {"top_k": 5}, chunk, sampling_temperature=0.7, count=3.0)


@pytest.mark.parametrize("options", ["full", "tail"])
@pytest.mark.parametrize("name", ["jsd", "third party"])
def test_any_number_of_threads(name, options):
    """The caller's gradient mode does not extend to them; nothing may rely on it."""
    config, build, formula = FORMULAS["jsd"]
    divergence, formula = (HalfSquares(), HalfSquares()) if name == "third party" else (build(config, None), formula)
    torch.set_num_threads(2)
    try:
        check(Case(tied=True), divergence, formula, OUTCOMES[options], chunk=7)
    finally:
        torch.set_num_threads(1)


def weights_of(case, **given):
    values = {field.name: getattr(case.tokens, field.name) for field in fields(HeadTokens)}
    case.tokens = HeadTokens(**values | given)
    return case


@pytest.mark.parametrize("zero", ["logprob_weights", "divergence_weights"])
def test_each_weight_alone(zero):
    config, build, formula = FORMULAS["reverse-kl"]
    check(weights_of(Case(), **{zero: torch.zeros(M)}), build(config, None), formula, {}, chunk=4)


def test_tokens_without_weights_give_no_gradient():
    case = weights_of(Case(), logprob_weights=torch.zeros(M), divergence_weights=torch.zeros(M))
    for teacher in (True, False):
        loss, _ = case.loss(HalfSquares(), {}, 4, teacher=teacher)
        assert loss == 0
        assert all(not gradient.any() for gradient in case.gradients(loss))


@pytest.mark.parametrize("kind", [nn.Linear, Unknown])
def test_tokens_without_weights_among_others(kind):
    """They come in another order to the head than the caller's, and change nothing, be they infinitely far apart."""
    config, build, formula = FORMULAS["reverse-kl"]
    idle = torch.arange(M) % 3 == 1
    case = Case(kind=kind, bias=True)
    w, d = (weights.masked_fill(idle, 0.0) for weights in (case.tokens.logprob_weights, case.tokens.divergence_weights))
    case = weights_of(case, logprob_weights=w, divergence_weights=d, teacher_rows=torch.arange(M))
    check(case, build(config, None), formula, {}, chunk=4)
    wanted, *_ = case.dense(formula, {})
    expected = case.gradients(wanted)
    case.teacher.all = case.teacher.all.clone()
    case.teacher.all[1, 5] = -math.inf
    loss, stats = case.loss(build(config, None), {}, 4)
    assert stats.divergence.isinf().tolist() == [i == 1 for i in range(M)]
    torch.testing.assert_close(loss, wanted, rtol=1e-9, atol=0)
    assert_equal_gradients(case.gradients(loss), expected)


@pytest.mark.parametrize("name", ["forward-kl", "reverse-kl", "jsd", "skew-kl", "total-variation", "alpha"])
def test_a_token_that_both_sides_rule_out_changes_nothing(name):
    """Its logits are -inf. It is nobody's target."""
    config, build, formula = FORMULAS[name]
    case = Case(bias=True)
    case = weights_of(case, targets=case.tokens.targets.clamp(max=V - 2))
    with torch.no_grad():
        case.linear.bias[-1] = -math.inf
    case.teacher.all[:, -1] = -math.inf
    loss, stats = case.loss(build(config, None), {}, 4)
    logits, teacher = case.dense_logits()[:, :-1], case.teacher.all[case.tokens.teacher_rows, :-1]
    log_p = logits.log_softmax(-1)
    w, d = case.tokens.logprob_weights.double(), case.tokens.divergence_weights.double()
    of_tokens = w * log_p[torch.arange(M), case.tokens.targets] + d * formula(log_p, teacher.log_softmax(-1))
    torch.testing.assert_close(loss, of_tokens.sum() / 7, rtol=1e-9, atol=0)
    torch.testing.assert_close(stats.entropy, -(log_p.exp() * log_p).sum(-1))
    assert_equal_gradients(case.gradients(loss), case.gradients(of_tokens.sum() / 7))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_without_a_teacher_only_the_log_probabilities_count(temperature):
    case = weights_of(Case(), teacher_rows=None)
    loss, stats = case.loss(HalfSquares(), {}, 4, temperature, teacher=False)
    logits = case.dense_logits()
    log_p = (logits / temperature).log_softmax(-1)[torch.arange(M), case.tokens.targets]
    expected = (case.tokens.logprob_weights.double() * log_p).sum() / 7
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    assert_equal_gradients(case.gradients(loss), case.gradients(expected))
    assert stats.divergence.isnan().all()
    assert stats.teacher_logprobs.isnan().all()


@pytest.mark.parametrize("chunk", [3, 100])
def test_stats_are_what_they_say(chunk):
    case = Case(final_logit_softcapping=3.0)
    _, stats = case.loss(HalfSquares(), {}, chunk, sampling_temperature=0.5)
    score = HeadLoss(case.head, HalfSquares(), Outcomes(DivergenceConfig()), 0.5, chunk).score
    scored = score(case.hidden(), case.tokens, case.teacher)
    logits, teacher = case.dense_logits(), case.teacher.all[case.tokens.teacher_rows]
    at = torch.arange(M), case.tokens.targets
    log_p = logits.log_softmax(-1)
    for found in (stats, scored):
        torch.testing.assert_close(found.logprobs, (logits / 0.5).log_softmax(-1)[at])
        torch.testing.assert_close(found.teacher_logprobs, (teacher / 0.5).log_softmax(-1)[at])
        torch.testing.assert_close(found.entropy, -(log_p.exp() * log_p).sum(-1))
        assert not any(getattr(found, field.name).requires_grad for field in fields(found))
    assert scored.divergence.isnan().all()


class Heights(TorchDispatchMode):
    """Notes how many rows the tensors [rows, V] have that any operation makes."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, tuple | list) else [output]:
            if isinstance(tensor, torch.Tensor) and tensor.dim() == 2 and tensor.shape[1] == V:
                self.seen.add(tensor.shape[0])
        return output


@pytest.mark.parametrize("kind", [nn.Linear, Unknown])
@pytest.mark.parametrize("call", ["loss", "score"])
def test_logits_of_more_than_a_chunk_never_exist(call, kind):
    """The head's own gradient is [V, D] and its transpose [D, V]."""
    case, asked = Case(kind=kind), []
    teacher = SimpleNamespace(logits=lambda rows: asked.append(len(rows)) or case.teacher.all[rows])
    head_loss = HeadLoss(case.head, HalfSquares(), Outcomes(DivergenceConfig()), 1.0, 4)
    with Heights() as heights:
        if call == "loss":
            head_loss(case.hidden(), case.tokens, teacher, 1.0)[0].backward()
        else:
            head_loss.score(case.hidden(), case.tokens, teacher)
    assert asked == [4, 4, 3]
    assert 4 in heights.seen
    assert max(heights.seen - {D}) == 4


def test_gradients_scale_with_what_comes_from_above():
    case = Case(tied=True)
    once, twice = (case.loss(HalfSquares(), {}, 4)[0] for _ in range(2))
    for one, double in zip(case.gradients(once), case.gradients(2 * twice), strict=True):
        torch.testing.assert_close(double, 2 * one)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_second_backward_pass_adds_the_same_again(scale):
    case = Case(tied=True, bias=True)
    loss = scale * case.loss(HalfSquares(), {}, 4)[0]
    expected = case.gradients(scale * case.dense(HalfSquares(), {})[0])
    loss.backward(retain_graph=True)
    loss.backward()
    for parameter, once in zip([case.inputs, *case.head.parameters()], expected, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * once)


@pytest.mark.parametrize("kind", [nn.Linear, Unknown])
@pytest.mark.parametrize("bias", [True, False])
def test_a_frozen_head_gets_no_gradient(bias, kind):
    case = Case(bias=bias, kind=kind)
    case.linear.requires_grad_(False)
    loss, _ = case.loss(HalfSquares(), {}, 4)
    expected, *_ = case.dense(HalfSquares(), {})
    assert_equal_gradients(torch.autograd.grad(loss, [case.inputs]), torch.autograd.grad(expected, [case.inputs]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_logits_are_scored_in_fp32(dtype):
    case = Case(dtype=dtype)
    loss, stats = case.loss(HalfSquares(), {}, 4)
    assert loss.dtype == torch.float32
    assert all(getattr(stats, field.name).dtype == torch.float32 for field in fields(stats))
    expected = Case().loss(HalfSquares(), {}, 4)[0]
    torch.testing.assert_close(loss.double(), expected, rtol=0.05, atol=1e-3)
    assert all(gradient.dtype == dtype for gradient in case.gradients(loss))


@pytest.mark.parametrize("kind", [nn.Linear, Unknown])
@pytest.mark.parametrize("head", ["plain", "tied", "bias", "tied, scaled and soft-capped"])
def test_bf16_products_come_close_to_fp32(head, kind):
    """bf16 keeps 8 bits: gradients are within 4% of their largest entry, and summed in the parameters' own dtype."""
    config, build, formula = FORMULAS["jsd"]
    case = Case(**HEADS[head], kind=kind, dtype=torch.float32)
    expected, of_tokens, _ = case.dense(formula, {})
    with torch.autocast("cpu", torch.bfloat16):
        loss, stats = case.loss(build(config, None), {}, 4)
    assert loss.dtype == stats.divergence.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=0.02, atol=1e-3)
    torch.testing.assert_close(stats.divergence, of_tokens, rtol=0.05, atol=5e-3)
    found = case.gradients(loss)
    assert all(gradient.dtype == torch.float32 for gradient in found)
    assert_equal_gradients(found, case.gradients(expected), tolerance=0.04)


def test_the_same_hidden_states_and_head_in_bf16_are_at_no_distance():
    """The teacher goes through the head as a module, the student perhaps not: both have to round alike."""
    case = Case(bias=True, dtype=torch.float32, final_logit_softcapping=2.0, logit_scale=3.0)
    case = weights_of(case, teacher_rows=case.tokens.rows)
    case.teacher = SimpleNamespace(logits=lambda rows: case.head(case.hidden()[rows]).detach())
    config, build, _ = FORMULAS["reverse-kl"]
    with torch.autocast("cpu", torch.bfloat16):
        _, stats = case.loss(build(config, None), {}, 4)
    assert stats.divergence.max() < 1e-6


@pytest.mark.parametrize("closed", [True, False])
def test_a_slope_that_is_a_view_is_not_written_to(closed):
    """A formula that is linear in log p has one constant as its derivative, and may return it expanded."""

    class Linear:
        def __call__(self, log_p, log_q):
            return (log_q - log_p).mean(-1)

    if closed:
        slope = torch.full((1, 1), -1 / V, dtype=torch.float64)
        Linear.value_and_grad = lambda self, p, q: (self(p, q), slope.expand_as(p))
    check(Case(), Linear(), Linear(), {}, chunk=4)


def test_a_value_of_a_wrong_shape_names_the_divergence():
    class Column:
        def __call__(self, log_p, log_q):
            return (log_p.exp() * (log_p - log_q)).sum(-1, keepdim=True)

    with pytest.raises(PluginError, match=r"divergence returned shapes .* they have to be"):
        Case().loss(Column(), {}, 3)


@pytest.mark.parametrize("broken", [lambda rows: torch.zeros(len(rows), 3), lambda rows: 1 / 0])
def test_a_broken_teacher_is_named(broken):
    case = Case()
    case.teacher.logits = broken
    with pytest.raises(PluginError, match=r"the teacher (returned logits of shape|failed: ZeroDivisionError)"):
        case.loss(jsd, {}, 3)


def test_what_a_divergence_raises_names_it():
    class Broken:
        def __call__(self, log_p, log_q):
            raise ZeroDivisionError("oh")

    case = Case()
    loss = HeadLoss(case.head, Broken(), Outcomes(DivergenceConfig()), 1.0, 4, "divergence 'mine'")
    with pytest.raises(PluginError, match="divergence 'mine' failed: ZeroDivisionError: oh"):
        loss(case.hidden(), case.tokens, case.teacher, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_comes_out(bad):
    case = Case()
    case.teacher.all = case.teacher.all.clone()
    case.teacher.all[int(case.tokens.teacher_rows[2]), 3] = bad
    config, build, _ = FORMULAS["forward-kl"]
    loss, _ = case.loss(build(config, None), {}, 4)
    assert not loss.isfinite()


def test_chunks_fit_their_memory():
    """1 MiB holds 2^18 fp32 numbers: 3 copies of 85 rows of 1024, and a third of a row."""
    assert chunk_size(1024, 1) == 85
    assert chunk_size(151_936, 512) == 294
    assert chunk_size(10**9, 1) == 1
    for vocabulary, mib in itertools.product((7, 1000, 50_000), (1, 64)):
        size = chunk_size(vocabulary, mib)
        assert size == 1 or 4 * 3 * vocabulary * size <= mib * 2**20
