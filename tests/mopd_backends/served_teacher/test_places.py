"""Rows of a prefix tree to positions in whole sequences, the responses' last tokens among them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mopd_backends.served_teacher.places import Places
from mopd_core.training.layout import lay_out


def places_of(prompts, responses):
    """What the places are asked in training, and the context that each token stands in."""
    layout = lay_out([np.array([*p, *r[:-1]], np.int32) for p, r in zip(prompts, responses, strict=True)])
    pairs, contexts = [], []
    for rows, prompt, response in zip(layout.rows, prompts, responses, strict=True):
        for at, token in enumerate(response):
            pairs.append((int(rows[len(prompt) - 1 + at]), token))
            contexts.append([*prompt, *response[: at + 1]])
    rows, targets = zip(*pairs, strict=True)
    return Places(layout, rows, targets), rows, targets, contexts


def test_responses_that_differ_in_their_last_token_are_two_sequences():
    prompt = list(range(20))
    places, rows, targets, _ = places_of([prompt, prompt], [[30, 31], [30, 32]])
    assert places.texts == [[*prompt, 30, 31], [*prompt, 30], [*prompt, 30, 32]]
    assert places(rows, targets) == [(0, 20), (0, 21), (0, 20), (2, 21)]


tokens = st.lists(st.integers(0, 2), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), tokens), min_size=1, max_size=5))
def test_every_token_is_found_after_all_that_stands_before_it(drawn):
    prompts = [[kind] * 18 for kind, _ in drawn]
    places, rows, targets, contexts = places_of(prompts, [response for _, response in drawn])
    for (number, position), context in zip(places(rows, targets), contexts, strict=True):
        assert places.texts[number][: position + 1] == context
