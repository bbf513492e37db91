"""SGLang as a teacher: log-probabilities of its input, of the most likely tokens or of one list of ids a request."""

from __future__ import annotations

from typing import Any

import httpx

from mopd_backends.served_teacher.api import Question, Told, to_told
from mopd_backends.servers.api import ServerInfo
from mopd_core.errors import GeneratorError


class SglangTeacher:
    """Only the positions from `start` on are answered; what stands before comes from the prefix cache."""

    async def has_vocabulary(self, client: httpx.AsyncClient, info: ServerInfo, size: int) -> bool:
        """SGLang does not say; it tells of the last entry, and refuses the one after it."""
        statuses = []
        for token in (size - 1, size):
            answer = await client.post("/generate", json=_request([0, 0], 1, [token]))
            if answer.status_code != httpx.codes.BAD_REQUEST:
                answer.raise_for_status()
            statuses.append(answer.status_code)
        return statuses == [httpx.codes.OK, httpx.codes.BAD_REQUEST]

    async def too_many(self, client: httpx.AsyncClient, top_k: int) -> str | None:
        """SGLang tells of as many as it is asked for."""
        return None

    async def tell(self, client: httpx.AsyncClient, question: Question, vocabulary: int) -> Told:
        request = _request(question.token_ids, question.start, list(question.ids))
        if question.top_k:
            request["top_logprobs_num"] = question.top_k
        answer = (await client.post("/generate", json=request)).raise_for_status()
        try:
            said = answer.json()["meta_info"]
            of_tokens = [entry[0] for entry in said["input_token_logprobs"][1:]]
            if question.top_k or question.ids:
                entries = said["input_top_logprobs" if question.top_k else "input_token_ids_logprobs"][1:]
            else:
                entries = [[] for _ in of_tokens]
            rows = [[(token, log_prob) for log_prob, token, _ in row] for row in entries]
            return to_told(of_tokens, rows, question, vocabulary)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise GeneratorError(f"an answer does not tell of every token of the sequence ({error!r})") from None


def _request(token_ids: list[int], start: int, ids: list[int]) -> dict[str, Any]:
    """SGLang counts from the token before the first one that is told of, and says nothing of that."""
    request = {
        "input_ids": token_ids,
        "sampling_params": {"max_new_tokens": 0, "temperature": 1.0},
        "return_logprob": True,
        "logprob_start_len": start - 1,
    }
    return request | ({"token_ids_logprob": ids} if ids else {})
