"""What ships with the package so that a run needs no network: generated task families and tiny models for them.

`families` makes problems and worked solutions (`chains`, `programs`), `source` gives them as prompts, and the folders
of `MODELS` hold the weights and tokenizers that `pretrain` made. Only `chat`, `measure` and `pretrain` import torch or
transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

MODELS: Mapping[str, Path] = MappingProxyType(
    {
        "bundled": Path(__file__).parent / "model",
        "bundled-programs": Path(__file__).parent / "model_programs",
    }
)
"""Folders in Hugging Face format by what `model.path` calls them; each one's `README.md` says how it came to be."""


def model_path() -> Path:
    """The folder of the model that `model.path: bundled` means."""
    return MODELS["bundled"]
