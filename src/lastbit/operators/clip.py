"""Clip: between two constants."""

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
class Clip(Curve):
    """``parameters`` are the bounds, least and most, the same for each channel (C,)."""

    steepest = Fraction(1)
    grows = False
    bends_at_zero = True

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value."""
        low, high = (float(v[0]) for v in self.parameters)
        return low, high

    def size(self, read: Fraction, ones: Fraction) -> Fraction:
        at_zero = abs(float(np.clip(0.0, *self.bounds)))
        return read + Fraction(at_zero) * ones

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        low, high = (v[0] for v in self.parameters)
        return machine.flush(np.clip(xs[0], low, high))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return np.clip(xs[0], *self.bounds)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0].clamp(*self.bounds)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.numpy.clip(xs[0], *self.bounds)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        names = [b.constant(f"{self.name}.{k}", np.float32(v)) for k, v in enumerate(self.bounds)]
        return b.operator("Clip", [*sources, *names], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        (lo, hi), (low, high) = ends_of(self.shape[0], read), self.bounds
        inside, somewhere = (lo >= low) & (hi <= high), (lo < high) & (hi > low)
        return (inside * 0.5 + (inside | somewhere) * 0.5).astype(np.float64)


READERS = {"Clip": Clip.read}
CURVES = {"clip": Clip}
