"""SGLang's HTTP interface against a real server, and weights on a shared folder that provably arrive."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import numpy as np
import pytest

from mopd_core.errors import GeneratorError
from mopd_core.testing.generators import PLAIN, fresh_log_probs
from mopd_core.testing.tiny import MAX_LENGTH, VOCABULARY

IDS = np.arange(VOCABULARY, dtype=np.int32)


@pytest.fixture(scope="module")
def ask(server):
    """What a question to the server is answered."""
    url, api = server

    def talk(question):
        async def run():
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                return await question(api, client)

        return asyncio.run(run())

    return talk


def test_it_says_what_it_serves(ask):
    info = ask(lambda api, client: api.info(client))
    assert info.max_length == MAX_LENGTH
    assert ask(lambda api, client: api.healthy(client))


@pytest.mark.parametrize("version", [7, 8])
def test_weights_arrive_with_the_head_that_is_tied(ask, new_student, tmp_path, scores_of, version):
    other = new_student(tied=True, seed=version)
    assert np.abs(ask(lambda api, client: api.score(client, IDS)) - scores_of(other, IDS)).max() > 0.1
    other.save_pretrained(tmp_path)
    ask(lambda api, client: api.load_weights(client, tmp_path, version))
    assert ask(lambda api, client: api.info(client)).version == version
    np.testing.assert_allclose(ask(lambda api, client: api.score(client, IDS)), scores_of(other, IDS), atol=1e-4)


@pytest.mark.parametrize("restriction", [{}, {"top_k": 5}, {"top_p": 0.7}], ids=str)
def test_samples_carry_the_log_probs_that_they_were_drawn_with(ask, new_student, tmp_path, three_prompts, restriction):
    student = new_student(tied=True, seed=3)
    student.save_pretrained(tmp_path)
    ask(lambda api, client: api.load_weights(client, tmp_path, 3))
    sampling = replace(PLAIN, **restriction)
    sample = ask(lambda api, client: api.sample(client, three_prompts[0].token_ids, sampling, 11))
    np.testing.assert_allclose(
        sample.logprobs, fresh_log_probs(student, three_prompts[0], sample, sampling), rtol=0, atol=1e-4
    )
    assert (sample.version, sample.finish_reason) == (3, "length")


def test_a_folder_without_weights_is_an_error_and_the_server_goes_on(ask, tmp_path):
    before = ask(lambda api, client: api.score(client, IDS))
    with pytest.raises(GeneratorError, match="did not take weights 9"):
        ask(lambda api, client: api.load_weights(client, tmp_path / "none", 9))
    np.testing.assert_array_equal(ask(lambda api, client: api.score(client, IDS)), before)
