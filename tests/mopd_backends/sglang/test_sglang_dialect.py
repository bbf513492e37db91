"""What is asked of SGLang and how its answers are read; no engine is needed."""

from __future__ import annotations

import numpy as np
import pytest

from mopd_backends.sglang.dialect import (
    NOT_OURS,
    SUPPORT_LIMIT,
    read_sample,
    read_scores,
    sample_request,
    score_request,
)
from mopd_core.errors import ConfigError, GeneratorError
from mopd_core.types import Sampling

PLAIN = Sampling(max_tokens=3)


def answer(logprobs=(-0.5, -1.0, -0.25), ids=(4, 5, 6), reason="length", **meta):
    entries = [[logprob, token, None] for logprob, token in zip(logprobs, ids, strict=True)]
    return {"meta_info": {"finish_reason": {"type": reason}, "output_token_logprobs": entries} | meta}


def test_nothing_but_the_given_stop_ids_ends_a_response():
    free = sample_request([1, 2], PLAIN, seed=7, vocabulary=10)["sampling_params"]
    assert (free["ignore_eos"], free["stop_token_ids"]) == (True, [])
    stopped = sample_request([1, 2], Sampling(3, stop_ids=(8, 9)), seed=7, vocabulary=10)["sampling_params"]
    assert (stopped["ignore_eos"], stopped["stop_token_ids"]) == (False, [8, 9])


@pytest.mark.parametrize(
    ("seed", "sent"), [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, 0), (2**64 - 1, 2**63 - 1), (-1, 2**63 - 1)], ids=str
)
def test_a_seed_fits_in_63_bits(seed, sent):
    assert sample_request([1], PLAIN, seed, vocabulary=10)["sampling_params"]["sampling_seed"] == sent


@pytest.mark.parametrize(
    ("sampling", "vocabulary", "top_k", "asks_for_support"),
    [
        (Sampling(3), 10, -1, False),
        (Sampling(3, top_k=5), 10, 5, True),
        (Sampling(3, top_k=50), 10, 10, True),
        (Sampling(3, top_p=0.9), 10, 10, True),
        (Sampling(3, top_p=0.9), 10**6, SUPPORT_LIMIT, True),
        (Sampling(3, temperature=0.0, top_p=0.9), 10, -1, False),
    ],
    ids=["plain", "top-k", "top-k over all", "top-p", "top-p of many", "greedy"],
)
def test_restricted_sampling_asks_for_the_support(sampling, vocabulary, top_k, asks_for_support):
    request = sample_request([1], sampling, 0, vocabulary)
    assert request["sampling_params"]["top_k"] == top_k
    assert ("return_sampling_mask" in request) == asks_for_support


@pytest.mark.parametrize(
    ("sampling", "named"),
    [(Sampling(3, top_k=5, top_p=0.9), "together"), (Sampling(3, top_k=SUPPORT_LIMIT + 1), str(SUPPORT_LIMIT))],
    ids=["both", "too many"],
)
def test_sampling_that_cannot_be_accounted_for_is_refused(sampling, named):
    with pytest.raises(ConfigError, match=named):
        sample_request([1], sampling, 0, vocabulary=10**6)


@pytest.mark.parametrize("ids", [[], [-1], [3, 10]], ids=str)
@pytest.mark.parametrize(
    "request_of", [lambda ids: sample_request(ids, PLAIN, 0, 10), lambda ids: score_request(ids, 10)]
)
def test_ids_that_would_kill_the_engine_are_not_sent(ids, request_of):
    with pytest.raises(GeneratorError, match="0 to 9"):
        request_of(ids)


def test_a_sample_has_its_ids_log_probs_reason_and_version():
    sample = read_sample(answer(weight_version="12"), PLAIN)
    assert sample.token_ids.tolist() == [4, 5, 6]
    assert sample.token_ids.dtype == np.int32
    assert sample.logprobs.tolist() == [-0.5, -1.0, -0.25]
    assert sample.logprobs.dtype == np.float32
    assert (sample.finish_reason, sample.version) == ("length", 12)


def test_weights_that_a_server_was_started_with_are_of_no_trainers_version():
    """An answer without a version counts; one of a server that was started again, as `default`, may not."""
    assert read_sample(answer(weight_version="default"), PLAIN).version == NOT_OURS


def test_log_probs_of_restricted_sampling_are_those_within_the_support():
    within = answer(output_token_sampling_logprobs=[-0.1, -0.2, 1e-9])
    assert read_sample(within, Sampling(3, top_k=2)).logprobs.tolist() == pytest.approx([-0.1, -0.2, 0.0])


@pytest.mark.parametrize(
    ("given", "sampling", "named"),
    [
        ([], PLAIN, "meta_info"),
        ({"error": "no"}, PLAIN, "meta_info"),
        ({"meta_info": {"finish_reason": {"type": "stop"}}}, PLAIN, "output_token_logprobs"),
        (answer(reason="tired"), PLAIN, "tired"),
        (answer(reason="stop"), Sampling(3, stop_ids=(4, 5)), r"\[6\]"),
        (answer(), Sampling(4), "3 of 4"),
        (answer(), Sampling(3, top_k=2), "output_token_sampling_logprobs"),
        (answer(output_token_logprobs=[None] * 3), PLAIN, "another form"),
        (answer(output_token_logprobs=[[-0.5]] * 3), PLAIN, "another form"),
        (answer(output_token_logprobs=[[-0.5, 2**40, None]] * 3), PLAIN, "another form"),
        (answer(output_token_sampling_logprobs=["x"] * 3), Sampling(3, top_k=2), "another form"),
    ],
    ids=[
        "list",
        "error",
        "no log-probs",
        "reason",
        "other end token",
        "cut",
        "no support",
        "nothing",
        "pairs",
        "huge id",
        "text",
    ],
)
def test_an_answer_that_is_none_is_an_error(given, sampling, named):
    with pytest.raises(GeneratorError, match=named):
        read_sample(given, sampling)


def test_scores_leave_the_first_token_out():
    entries = [[None, 3, None], [-1.5, 4, None], [-2.0, 5, None]]
    scores = read_scores({"meta_info": {"input_token_logprobs": entries}}, [3, 4, 5], vocabulary=10)
    assert scores.tolist() == [-1.5, -2.0]
    assert scores.dtype == np.float32


def test_the_last_token_of_a_vocabulary_may_come_back_as_token_0():
    entries = [[None, 3, None], [-1.5, 0, None]]
    assert read_scores({"meta_info": {"input_token_logprobs": entries}}, [3, 9], vocabulary=10).tolist() == [-1.5]
    with pytest.raises(GeneratorError, match="2 others"):
        read_scores({"meta_info": {"input_token_logprobs": entries}}, [3, 8], vocabulary=10)


@pytest.mark.parametrize("entries", [[None, None], [[None], [-1.5]], [[None, 3, None], ["x", 4, None]]], ids=str)
def test_scores_of_another_form_are_an_error(entries):
    with pytest.raises(GeneratorError, match="another form"):
        read_scores({"meta_info": {"input_token_logprobs": entries}}, [3, 4], vocabulary=10)
