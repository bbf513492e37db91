"""What ships with the package so that a run needs no network: generated task families and a tiny model for them.

`families` makes problems and worked solutions, `source` gives them as prompts, and `model/` holds the weights and
tokenizer that `pretrain` made. Only `chat`, `measure` and `pretrain` import torch or transformers.
"""

from __future__ import annotations

from pathlib import Path


def model_path() -> Path:
    """The folder of the bundled model, in Hugging Face format; `model/README.md` says how it came to be."""
    return Path(__file__).parent / "model"
