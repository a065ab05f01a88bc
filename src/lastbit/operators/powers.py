"""Powers, and constants by a value."""

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
    Node,
    Read,
    on_channels,
    wide,
)
from lastbit.operators.pointwise import Curve, middle_slope

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

NEAR = 2.0**-20  # for hints: a divisor that may be 0 is at least so large


@final
@dataclass(frozen=True, eq=False)
class Power(Curve):
    """x^n; the first of the ``parameters`` is n (C,)."""

    steepest = Fraction(0)
    grows = False
    roundings = 4
    local = True
    bends_at_zero = True

    @property
    def n(self) -> int:
        """The exponent."""
        return int(self.parameters[0][0])

    def steepness_at(self, z: Float64Array, off: Float64Array) -> Float64Array:
        return self.n * (np.abs(z) + off) ** (self.n - 1)

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        y = xs[0]
        for _ in range(self.n - 1):
            y = machine.multiply(y, xs[0])
        return y

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] ** self.n

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0] ** self.n

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return xs[0] ** self.n

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        ends = [low**self.n, high**self.n, np.clip(0.0, low, high) ** self.n]
        return np.minimum.reduce(ends), np.maximum.reduce(ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        n = b.constant(f"{self.name}.exponent", np.float32(self.n))
        return b.operator("Pow", [*sources, n], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        n = self.n
        return middle_slope(self.shape[0], read, lambda z: n * z ** (n - 1), 0.0)


@final
@dataclass(frozen=True, eq=False)
class Reciprocal(Curve):
    """c / x; the first of the ``parameters`` are the constants c (C,)."""

    steepest = Fraction(0)
    grows = False
    local = True
    bends_at_zero = True

    @property
    def c(self) -> Float32Array:
        """The constants (C,)."""
        return self.parameters[0]

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return (self.c,)

    def steepness_at(self, z: Float64Array, off: Float64Array) -> Float64Array:
        largest = float(np.max(np.abs(self.c)))
        return largest / np.maximum(np.abs(z) - off, 2.0**-60) ** 2

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.divide(np.broadcast_to(on_channels(self.c), xs[0].shape), xs[0])

    def float64(self, *xs: Float64Array) -> Float64Array:
        return wide(self.c) / xs[0]

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return constants[0][:, None, None] / xs[0]

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return on_channels(self.c) / xs[0]

    def box(self, *boxes: Box) -> Box:
        ends = [wide(self.c) / z for z in away(boxes[0])]
        return np.minimum(*ends), np.maximum(*ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        flat = self.c.reshape(-1, *([1, 1] if self.shape[1:] != (1, 1) else []))
        return b.operator("Div", [b.constant(f"{self.name}.by", flat), *sources], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        c = self.c.astype(np.float64)
        return middle_slope(self.shape[0], away(read), lambda z: -c / (z * z))


def away(box: Box) -> Box:
    """A box of divisors, without what is nearly 0; for hints."""
    low, high = box
    positive = low + high >= 0
    return (np.where(positive, np.maximum(low, NEAR), np.minimum(low, -NEAR)),
            np.where(positive, np.maximum(high, NEAR), np.minimum(high, -NEAR)))  # fmt: skip


def read_power(r: Read) -> Node:
    """Pow: the checker says which, or that it is a reciprocal."""
    kind = Reciprocal if r.made.op == "reciprocal" else Power
    return kind(r.name, r.made.shape, r.names, r.made.parameters)


READERS = {"Pow": read_power, "Reciprocal": Reciprocal.read}
CURVES = {"power": Power, "reciprocal": Reciprocal}
