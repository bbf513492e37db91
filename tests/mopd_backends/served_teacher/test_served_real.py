"""Real engines as teachers: the loss and gradients of the same model in this process, to 1e-4."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("remainder", ["tail", "renormalise"])
@pytest.mark.parametrize("support", ["student", "teacher"])
def test_a_real_engine_teaches_what_the_frozen_model_does(
    support, remainder, real, new_teacher, frozen, learn, assert_same
):
    engine, url = real
    if (engine, support) == ("vllm", "student"):
        pytest.skip("the config refuses it")
    outcomes = {"top_k": 6, "support": support, "remainder": remainder}
    teacher = new_teacher(engine, url, request_timeout_s=200.0, max_wait_s=200.0)
    assert_same(learn(teacher, **outcomes), learn(frozen, **outcomes))


def test_a_real_engine_tells_of_sampled_tokens(real, new_teacher, frozen, learn, assert_same):
    engine, url = real
    teacher = new_teacher(engine, url, request_timeout_s=200.0, max_wait_s=200.0)
    assert_same(learn(teacher, estimator="sampled"), learn(frozen, estimator="sampled"))
