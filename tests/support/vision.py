"""timm and torchvision beside a PyTorch that torchvision's own operators were not built for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""What torchvision asks for when it is loaded; a classifier uses neither."""


@contextmanager
def loaded() -> Iterator[None]:
    """Both can be loaded in this block. Skips the test where PyTorch or one of them is missing."""
    torch: Any = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            library.define(schema)
    for name in ("torchvision", "timm"):
        pytest.importorskip(name)
    yield
    del library
