"""Gelu, or twice that, and Erf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np
from scipy import special

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine
from lastbit.operators.pointwise import Curve, middle_slope, rounded

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

ROOT, ONE, HALF = (np.array(x, np.float32) for x in (2**0.5, 1, 0.5))


@final
@dataclass(frozen=True, eq=False)
class Erf(Curve):
    """The error function."""

    function = "erf"
    steepest = Fraction(1128380, 1000000)
    grows = False
    onnx = "Erf"
    aten = "erf.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return rounded(machine, special.erf, xs[0])

    def float64(self, *xs: Float64Array) -> Float64Array:
        return special.erf(xs[0].astype(np.float64))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0].erf()

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.scipy.special.erf(xs[0])

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        middle = middle_slope(self.shape[0], read, lambda z: np.exp(-z * z), 0.0)
        return float(self.steepest) * (np.ones_like(middle) if straight else middle)


@dataclass(frozen=True, eq=False)
class Scaled(Curve):
    """Gelu or twice that, by any function; its parameters: what folding costs, and the scale."""

    grows = True
    plain = (0.0, 1.0)

    @property
    def scale(self) -> int:
        """How many times Gelu it is."""
        return int(self.parameters[1][0]) if self.parameters else 1

    @property
    def shaping(self) -> tuple[Float32Array, ...]:
        return self.parameters[1:]

    def steepness(self) -> Fraction:
        return self.scale * self.steepest

    def size(self, read: Fraction, ones: Fraction) -> Fraction:
        return self.scale * read


@final
@dataclass(frozen=True, eq=False)
class Gelu(Scaled):
    """x (1 + erf(x / sqrt 2)), step by step, halved at last if its scale (C,) is 1 and not 2."""

    function = "gelu"
    steepest = Fraction(112891, 100000)

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        error = rounded(machine, special.erf, machine.divide(xs[0], ROOT))
        twice = machine.multiply(xs[0], machine.add(error, ONE))
        return twice if self.scale == 2 else machine.multiply(twice, HALF)

    def float64(self, *xs: Float64Array) -> Float64Array:
        return self.scale * gelu(xs[0])

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        y = torch.nn.functional.gelu(xs[0])
        return y * 2 if self.scale == 2 else y

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        y = jax.nn.gelu(xs[0], approximate=False)
        return y * 2 if self.scale == 2 else y

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        ends = self.float64(low), self.float64(high)
        lowest = (low < -0.7517) & (high > -0.7518)
        least = np.where(lowest, self.scale * -0.16998, np.minimum(*ends))
        return least, np.maximum(*ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        def named(part: str) -> str:
            return f"{self.name}.{part}"

        divided = b.operator("Div", [*sources, b.constant(named("root"), ROOT)], named("divided"))
        error = b.operator("Erf", [divided], named("erf"))
        more = b.operator("Add", [error, b.constant(named("one"), ONE)], named("more"))
        if self.scale == 1:
            more = b.operator("Mul", [more, b.constant(named("half"), HALF)], named("halved"))
        return b.operator("Mul", [*sources, more], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        middle = middle_slope(self.shape[0], read, gelu_slope, -(2**0.5), 2**0.5)
        return self.scale * (np.full_like(middle, 0.5) if straight else middle)


def gelu(z: Float64Array) -> Float64Array:
    """z Phi(z)."""
    return z * special.ndtr(z.astype(np.float64))


def gelu_slope(z: Float64Array) -> Float64Array:
    """Its derivative."""
    return special.ndtr(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


READERS = {"Erf": Erf.read}
CURVES = {"erf": Erf, "gelu": Gelu}
