"""One torch thread a test process: two busy ones with more slow each other down tenfold on two cores.

Tests on public data sets look for them in the folder MOPD_DATA, by default one beside the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MOPD_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))

import torch

torch.set_num_threads(1)
