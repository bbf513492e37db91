"""Derived randomness: every draw has its own seed, so that nothing about randomness has to be carried or saved.

A resumed run, and a run on another number of ranks, derives the same seeds and so sees the same draws.
"""

from __future__ import annotations

import hashlib
from random import Random


def derive_seed(run_seed: int, step: int, prompt_id: str, purpose: str) -> int:
    """A seed in [0, 2**63) for one draw of one step; equal arguments give equal seeds on every machine."""
    text = "\x1f".join((str(run_seed), str(step), prompt_id, purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def derive_random(run_seed: int, step: int, prompt_id: str, purpose: str) -> Random:
    """A `random.Random` that starts from `derive_seed` of the same arguments."""
    return Random(derive_seed(run_seed, step, prompt_id, purpose))
