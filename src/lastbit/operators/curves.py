"""Sigmoid and SiLU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine
from lastbit.operators.pointwise import Curve, ends_of

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class Sigmoid(Curve):
    """1 / (1 + exp(-x))."""

    function = "sigmoid"
    steepest = Fraction(1, 4)
    grows = False
    onnx = "Sigmoid"
    aten = "sigmoid.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.flush(machine.sigmoid(machine.flush(xs[0])))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return 1 / (1 + np.exp(-xs[0]))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0].sigmoid()

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.sigmoid(xs[0])

    def box(self, *boxes: Box) -> Box:
        return np.zeros_like(boxes[0][0]), np.ones_like(boxes[0][0])

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.sigmoid(sources[0], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        return np.full(self.shape[0], 0.25)


@final
@dataclass(frozen=True, eq=False)
class Silu(Curve):
    """x * sigmoid(x), by two operations."""

    function = "silu"
    steepest = Fraction(109984, 100000)
    grows = True
    aten = "silu.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.multiply(xs[0], machine.flush(machine.sigmoid(machine.flush(xs[0]))))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] / (1 + np.exp(-xs[0]))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0] * xs[0].sigmoid()

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.silu(xs[0])

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        least = np.minimum(silu(low), silu(high))
        lowest = (low < -1.2785) & (high > -1.2784)
        return np.where(lowest, -0.27847, least), np.maximum(silu(low), silu(high))

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.silu(sources[0], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        return np.full(self.shape[0], 0.5) if straight else _middle_slope(self.shape[0], read)


def silu(z: Float64Array) -> Float64Array:
    """z / (1 + exp(-z)), without overflow."""
    return z * 0.5 * (1.0 + np.tanh(z / 2))


def silu_slope(z: Float64Array) -> Float64Array:
    """The derivative of silu."""
    s = 0.5 * (1.0 + np.tanh(z / 2))
    return s * (1.0 + z * (1.0 - s))


def _middle_slope(channels: int, read: Box) -> Float64Array:
    """Per channel the middle of the slopes of silu over the channel's box (C,)."""
    lo, hi = ends_of(channels, read)
    points = lo + (hi - lo) * np.linspace(0.0, 1.0, 513)[:, None]
    slopes = silu_slope(points)
    least, most = slopes.min(axis=0), slopes.max(axis=0)
    least = np.where((lo < -2.4) & (hi > -2.4), -0.09984, least)
    most = np.where((lo < 2.4) & (hi > 2.4), 1.09984, most)
    return (least + most) / 2


READERS = {"Sigmoid": Sigmoid.read}
CURVES = {"sigmoid": Sigmoid, "silu": Silu}
