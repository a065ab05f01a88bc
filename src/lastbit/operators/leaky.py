"""LeakyRelu and PRelu: x where x >= 0, a x elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import (
    Box,
    Float32Array,
    Float64Array,
    Machine,
    on_channels,
    wide,
)
from lastbit.operators.pointwise import Curve, ends_of

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class LeakyRelu(Curve):
    """``parameters`` are the slopes a (C,)."""

    steepest = Fraction(1)
    grows = True
    bends_at_zero = True

    @property
    def a(self) -> Float32Array:
        """The slopes (C,)."""
        return self.parameters[0]

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return (self.a,)

    def steepness(self) -> Fraction:
        return max(Fraction(1), Fraction(float(np.max(np.abs(self.a)))))

    def size(self, read: Fraction, ones: Fraction) -> Fraction:
        return self.steepness() * read

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        x = machine.flush(xs[0])
        return np.where(x >= 0, x, machine.multiply(x, on_channels(self.a)))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return np.where(xs[0] >= 0, xs[0], xs[0] * wide(self.a))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        return torch.nn.functional.prelu(xs[0], constants[0])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.numpy.where(xs[0] >= 0, xs[0], xs[0] * on_channels(self.a))

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        ends = [
            self.float64(low),
            self.float64(high),
            np.where((low < 0) & (high > 0), 0.0, np.nan),
        ]
        return np.fmin.reduce(ends), np.fmax.reduce(ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        flat = self.a.reshape(-1, *([1, 1] if self.shape[1:] != (1, 1) else []))
        return b.operator("PRelu", [*sources, b.constant(f"{self.name}.slopes", flat)], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        low, high = ends_of(self.shape[0], read)
        a = self.a.astype(np.float64)
        left, right = np.where(low < 0, a, 1), np.where(high > 0, 1, a)
        return (left + right) / 2


READERS = {"LeakyRelu": LeakyRelu.read, "PRelu": LeakyRelu.read}
CURVES = {"leakyrelu": LeakyRelu}
