"""What `mopd doctor` says, a finding a line. Imports nothing: plugins that implement `mopd_examine` make them too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FindingStatus = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what it is, how it stands, and what to know or do.

    status: `note` where something optional is missing, `problem` where a run cannot work or not be trusted.
    """

    name: str
    status: FindingStatus
    detail: str
