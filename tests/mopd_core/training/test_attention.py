"""The flat, prefix-shared pass is the plain forward of every sequence, in values and in gradients.

Full, sliding-window and grouped-query attention; on a CPU, layers without a window go through `tree_attention`, and
elsewhere through masks, which are tested here too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mopd_core.training import tree_attention
from mopd_core.training.layout import MIN_SHARED, lay_out
from mopd_core.training.models import flat_hidden


@pytest.fixture(params=["by parts", "by masks"])
def _way(request, monkeypatch):
    """Both ways of attending where there is no window."""
    if request.param == "by masks":
        monkeypatch.setattr(tree_attention, "supports", lambda *_: False)


@pytest.fixture
def sequences(draw_ids):
    """A tree three deep, an own root, one token alone, and a sequence twice; most are far longer than the window."""
    root, branch = draw_ids(24, 1), draw_ids(20, 2)
    return [
        np.concatenate([root, branch, draw_ids(7, 3)]),
        np.concatenate([root, branch, draw_ids(9, 4)]),
        np.concatenate([root, draw_ids(5, 5)]),
        draw_ids(31, 6),
        draw_ids(1, 7),
        np.concatenate([root, draw_ids(5, 5)]),
    ]


def rows_of(model, sequences):
    """The flat pass's hidden states [S, D] of every sequence."""
    layout = lay_out(sequences)
    hidden = flat_hidden(model, layout)
    return [hidden[rows] for rows in layout.rows]


def test_prefixes_are_shared_here(sequences):
    assert len(lay_out(sequences)) == 24 + 20 + 7 + 9 + 5 + 31 + 1
    assert min(len(segment.ancestors) for segment in lay_out(sequences).segments) == 0
    assert max(len(segment.ancestors) for segment in lay_out(sequences).segments) == 2


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("implementation", "tolerance"), [("sdpa", 1e-9), ("eager", 1e-5)])
def test_hidden_states_are_the_plain_forwards(model, sequences, plain, implementation, tolerance):
    """transformers' eager attention takes its softmax in fp32, so that only sdpa can agree in float64."""
    for ids, hidden in zip(sequences, rows_of(model, sequences), strict=True):
        expected = plain(model, ids, implementation=implementation)
        torch.testing.assert_close(hidden, expected, rtol=tolerance, atol=tolerance)


def gradients(model, hidden):
    """Of a fixed random projection of each sequence's hidden states, summed over sequences."""
    model.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for number, states in enumerate(hidden):
        generator = torch.Generator().manual_seed(number)
        total = total + (states * torch.randn(states.shape, generator=generator, dtype=torch.float64)).sum()
    total.backward()
    return {name: parameter.grad.clone() for name, parameter in model.get_decoder().named_parameters()}


@pytest.mark.usefixtures("_way")
def test_gradients_are_the_plain_forwards(model, sequences, plain):
    found = gradients(model, rows_of(model, sequences))
    expected = gradients(model, [plain(model, ids) for ids in sequences])
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        error = (found[name] - gradient).abs().max() / gradient.abs().max()
        assert error < 1e-9, name


def change_of(model, layout, changed_row):
    """Which flat rows change [n] bool when the token of one does."""
    token_ids = layout.token_ids.clone()
    token_ids[changed_row] = (token_ids[changed_row] + 1) % 40
    with torch.no_grad():
        before, after = flat_hidden(model, layout), flat_hidden(model, replace(layout, token_ids=token_ids))
    return ((before - after).abs() > 1e-12).any(-1)


def check_no_leak(model, layout):
    """A token of one sequence alone changes nothing in the others, and its last one nothing outside of it."""
    for number, rows in enumerate(layout.rows):
        others = torch.cat([layout.rows[other] for other in range(len(layout.rows)) if other != number])
        foreign = torch.isin(torch.arange(len(layout)), rows, invert=True)
        changed = change_of(model, layout, int(rows[-1]))
        assert changed[rows[-1]]
        assert not changed[foreign].any()
        own = ~torch.isin(rows, others)
        if own.any():
            assert not change_of(model, layout, int(rows[own][0]))[others].any()


@pytest.mark.usefixtures("_way")
def test_no_sequence_sees_a_token_of_another(model, sequences):
    check_no_leak(model, lay_out(sequences))


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("family", ["qwen3", "llama-untied", "gemma3-mixed"])
def test_a_leak_between_neighbours_is_found(make_exact, family, draw_ids, plain):
    """Planted: the second of two siblings sees the first, as if that stood before it."""
    model, prefix = make_exact(family), draw_ids(24, 1)
    sequences = [np.concatenate([prefix, [n], draw_ids(8, n)]).astype(np.int32) for n in (2, 3)]
    layout = lay_out(sequences)
    check_no_leak(model, layout)
    root, one, other = layout.segments
    seeing = replace(other, ancestors=(root.span, one.span), offset=root.length + one.length)
    leaking = replace(layout, segments=(root, one, seeing), masks={}, windows=set())
    with pytest.raises(AssertionError):
        check_no_leak(model, leaking)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(flat_hidden(model, leaking)[leaking.rows[1]], plain(model, sequences[1]))


def test_shared_keys_are_read_once_for_all_siblings(draw_ids):
    """The five answers to a prompt attend to it together."""
    layout = lay_out([np.concatenate([draw_ids(30), [n], draw_ids(4, n)]).astype(np.int32) for n in range(2, 7)])
    assert [*layout.families()] == [((slice(0, 30),), slice(30, 55))]


def test_a_window_ends_where_the_models_does(make_exact, plain, draw_ids):
    """With one layer of window 6, a token is seen 5 places later and not 6 later, also across a shared prefix."""
    model = make_exact("mistral-window")
    model.get_decoder().layers = model.get_decoder().layers[:1]
    ids = draw_ids(MIN_SHARED + 10)
    layout = lay_out([ids, np.concatenate([ids[:-9], draw_ids(9, 8)])])
    assert len(layout.segments) == 3
    changed = change_of(model, layout, int(layout.rows[0][MIN_SHARED]))[layout.rows[0]]
    assert changed.nonzero().squeeze(1).tolist() == list(range(MIN_SHARED, MIN_SHARED + 6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions_come_close(make_exact, sequences, plain, dtype):
    model = make_exact()
    exact = rows_of(model, sequences)
    model.to(dtype)
    for one, other in zip(rows_of(model, sequences), exact, strict=True):
        assert (one - other).abs().max() < (1e-4 if dtype == torch.float32 else 0.5)
