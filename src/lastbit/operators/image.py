"""The image: bytes 0..255 as float32 (that step is exact), or float32 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine, Node

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class Input(Node):
    """What the network is given; the first node, which reads nothing.

    ``low`` and ``high`` are the ends of its numbers.
    """

    low: float = 0.0
    high: float = 255.0

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return xs[0]

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0]

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0]

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return xs[0]

    def box(self, *boxes: Box) -> Box:
        return np.full(self.shape, self.low), np.full(self.shape, self.high)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.input_bytes(self.shape, self.name)
