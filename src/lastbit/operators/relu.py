"""Relu: max(x, 0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import Box, Curve, Float32Array, Float64Array, Machine, Node, Read

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class Relu(Curve):
    """The larger of x and 0."""

    function = ""
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

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        return np.maximum(low, 0.0), np.maximum(high, 0.0)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator("Relu", [*sources], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        low, high = (end.reshape(self.shape[0], -1) for end in read)
        return ((low.min(axis=1) >= 0) * 0.5 + (high.max(axis=1) > 0) * 0.5).astype(np.float64)


def read_relu(r: Read) -> Node:
    """Relu."""
    return Relu(r.name, r.made.shape, r.names)


READERS = {"Relu": read_relu}
CURVES = {"relu": Relu}
