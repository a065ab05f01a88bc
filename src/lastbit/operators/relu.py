"""Relu: max(x, 0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine
from lastbit.operators.pointwise import Curve, ends_of


@final
@dataclass(frozen=True, eq=False)
class Relu(Curve):
    """The larger of x and 0."""

    steepest = Fraction(1)
    grows = True
    bends_at_zero = True
    onnx = "Relu"
    aten = "relu.default"
    roundings = 0

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.flush(np.maximum(xs[0], np.float32(0)))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return np.maximum(xs[0], 0.0)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0].relu()

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.relu(xs[0])

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        low, high = ends_of(self.shape[0], read)
        return ((low >= 0) * 0.5 + (high > 0) * 0.5).astype(np.float64)


READERS = {"Relu": Relu.read}
CURVES = {"relu": Relu}
