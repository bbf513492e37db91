"""The worker of the verifier `format`: `[pattern, response]` in; out, whether it is found, or null for no memory."""

from __future__ import annotations

import re

from mopd_verifiers.workers.child import serve


def _handle(job: tuple[str, str]) -> bool | None:
    pattern, response = job
    try:
        return re.search(pattern, response) is not None
    except MemoryError:
        return None


if __name__ == "__main__":
    serve(_handle)
