"""Tanh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import (
    Box,
    Curve,
    Float32Array,
    Float64Array,
    Machine,
    Node,
    Read,
    rounded,
)

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


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

    def box(self, *boxes: Box) -> Box:
        return np.tanh(boxes[0][0]), np.tanh(boxes[0][1])

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator("Tanh", [*sources], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        low, high = (end.reshape(self.shape[0], -1) for end in read)
        lo, hi = low.min(axis=1), high.max(axis=1)
        slopes = [1 - np.tanh(z) ** 2 for z in (lo, np.clip(0.0, lo, hi), hi)]
        middle = (np.minimum.reduce(slopes) + np.maximum.reduce(slopes)) / 2
        return np.ones_like(middle) if straight else middle


def read_tanh(r: Read) -> Node:
    """Tanh."""
    return Tanh(r.name, r.made.shape, r.names)


READERS = {"Tanh": read_tanh}
CURVES = {"tanh": Tanh}
