"""The worker of the verifier `math`: `[response, golds]` in, `[finding, answer]` out; `[null, golds]` tries the golds.

What the algebra remembers of expressions is dropped after every `_FORGET_AFTER` jobs, so that memory stays flat.
"""

from __future__ import annotations

from itertools import count

from mopd_verifiers.math import algebra
from mopd_verifiers.math.judge import Judgement, check_gold, judge
from mopd_verifiers.workers.child import serve

_MAX_SHOWN_CHARS = 200
_FORGET_AFTER = 500
_jobs = count(1)


def _handle(job: tuple[str | None, list[str]]) -> tuple[str, str]:
    response, golds = job
    judgement = _check(golds) if response is None else judge(response, golds)
    if next(_jobs) % _FORGET_AFTER == 0:
        algebra.forget()
    return judgement.finding, judgement.answer[:_MAX_SHOWN_CHARS]


def _check(golds: list[str]) -> Judgement:
    found = [check_gold(gold) for gold in golds]
    return next((judgement for judgement in found if judgement.finding == "bad gold"), found[-1])


if __name__ == "__main__":
    serve(_handle)
