"""What an entry is given. An entry is a function that takes a `Job`, in a child that has put on every layer.

An entry is trusted code, but the process is not: what it runs can reach all that it holds. So nothing that would
decide a verdict (an expected output, say) may be in a job whose process runs a candidate.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One run as the child sees it. Standard input, output and error are descriptors 0, 1 and 2.

    source: the program. payload: whatever else the entry was sent. report: a descriptor whose lines the parent reads
    (newline-terminated; capped like an output stream). channel: one end of a stream socket to the other program of a
    pair, or None.
    """

    source: str
    payload: bytes
    report: int
    channel: int | None
