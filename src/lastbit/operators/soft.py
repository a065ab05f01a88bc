"""Softplus, Softsign and Mish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine
from lastbit.operators.pointwise import Curve, middle_slope, rounded

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

LN2 = Fraction(6931472, 10**7)  # rounded up


@final
@dataclass(frozen=True, eq=False)
class Softplus(Curve):
    """The logarithm of 1 + exp(x)."""

    function = "softplus"
    steepest = Fraction(1)
    grows = True
    onnx = "Softplus"
    aten = "softplus.default"

    def size(self, read: Fraction, ones: Fraction) -> Fraction:
        return read + LN2 * ones

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return rounded(machine, self.float64, xs[0])

    def float64(self, *xs: Float64Array) -> Float64Array:
        return np.logaddexp(0, xs[0])

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        return torch.nn.functional.softplus(xs[0])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.softplus(xs[0])

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        middle = middle_slope(self.shape[0], read, logistic)
        return np.full_like(middle, 0.5) if straight else middle


@final
@dataclass(frozen=True, eq=False)
class Softsign(Curve):
    """x / (1 + |x|)."""

    function = "softsign"
    steepest = Fraction(1)
    grows = True
    onnx = "Softsign"
    aten = "softsign.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.divide(xs[0], machine.add(np.abs(xs[0]), np.ones_like(xs[0])))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] / (1 + np.abs(xs[0]))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        return torch.nn.functional.softsign(xs[0])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.soft_sign(xs[0])

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        middle = middle_slope(self.shape[0], read, lambda z: 1 / (1 + np.abs(z)) ** 2, 0.0)
        return np.ones_like(middle) if straight else middle


@final
@dataclass(frozen=True, eq=False)
class Mish(Curve):
    """x tanh(softplus(x)), step by step."""

    function = "mish"
    steepest = Fraction(10885, 10000)
    grows = True
    onnx = "Mish"
    aten = "mish.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        soft = rounded(machine, lambda z: np.logaddexp(0, z), xs[0])
        return machine.multiply(xs[0], rounded(machine, np.tanh, soft))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return mish(xs[0])

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        return torch.nn.functional.mish(xs[0])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.mish(xs[0])

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        ends = mish(low), mish(high)
        lowest = (low < -1.1924) & (high > -1.1925)
        return np.where(lowest, -0.30885, np.minimum(*ends)), np.maximum(*ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        soft = b.operator("Softplus", [*sources], f"{self.name}.softplus")
        tanh = b.operator("Tanh", [soft], f"{self.name}.tanh")
        return b.operator("Mul", [*sources, tanh], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        middle = middle_slope(self.shape[0], read, mish_slope, -2.25638, 1.49057)
        return np.full_like(middle, 0.6) if straight else middle


def logistic(z: Float64Array) -> Float64Array:
    """The slope of softplus."""
    return 0.5 * (1.0 + np.tanh(z / 2))


def mish(z: Float64Array) -> Float64Array:
    """z n / (n + 2) with n = exp(z) (exp(z) + 2), without overflow."""
    power = np.exp(-np.abs(z))
    above, below = 1 + 2 * power, power * (power + 2)
    return z * np.where(z > 0, above / (above + 2 * power * power), below / (below + 2))


def mish_slope(z: Float64Array) -> Float64Array:
    """Its derivative: with t = tanh(softplus(z)), t + z (1 - t^2) sigmoid(z)."""
    t = np.tanh(np.logaddexp(0, z))
    return t + z * (1 - t * t) * logistic(z)


READERS = {"Mish": Mish.read, "Softplus": Softplus.read, "Softsign": Softsign.read}
CURVES = {"mish": Mish, "softplus": Softplus, "softsign": Softsign}
