"""The worker of the verifier `math`: `[response, gold]` in, `[finding, answer]` out."""

from __future__ import annotations

from mopd_verifiers.math.judge import judge
from mopd_verifiers.workers.child import serve

_MAX_SHOWN_CHARS = 200


def _handle(job: tuple[str, str]) -> tuple[str, str]:
    judgement = judge(*job)
    return judgement.finding, judgement.answer[:_MAX_SHOWN_CHARS]


if __name__ == "__main__":
    serve(_handle)
