"""Tanh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine
from lastbit.operators.pointwise import Curve, middle_slope, rounded


@final
@dataclass(frozen=True, eq=False)
class Tanh(Curve):
    """The hyperbolic tangent."""

    function = "tanh"
    steepest = Fraction(1)
    grows = True
    onnx = "Tanh"
    aten = "tanh.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return rounded(machine, np.tanh, xs[0])

    def float64(self, *xs: Float64Array) -> Float64Array:
        return np.tanh(xs[0])

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0].tanh()

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.numpy.tanh(xs[0])

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        middle = middle_slope(self.shape[0], read, lambda z: 1 - np.tanh(z) ** 2, 0.0)
        return np.ones_like(middle) if straight else middle


READERS = {"Tanh": Tanh.read}
CURVES = {"tanh": Tanh}
