"""Declares two of torchvision's operators just before torchvision is imported.

Its own library of them does not load beside a CPU build of torch, and its import then fails for want of their schemas.
Python runs this file at start-up in every process, so that torch is imported only where torchvision is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing: the import that asks for torchvision goes on after the schemas are there."""

    def __init__(self) -> None:
        self._library: Any = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision" and self._library is None:
            import torch

            self._library = torch.library.Library("torchvision", "FRAGMENT")
            for schema in SCHEMAS:
                self._library.define(schema)
        return None


sys.meta_path.insert(0, _BeforeTorchvision())
