"""Elu, Selu and Celu."""

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


@final
@dataclass(frozen=True, eq=False)
class Elu(Curve):
    """g x where x >= 0, g a (exp(x / d) - 1) elsewhere; ``parameters`` a, g, d (C,) are numbers."""

    function = "elu"
    steepest = Fraction(1)
    grows = True
    bends_at_zero = True
    onnx = "Elu"
    aten = "elu.default"
    plain = (1.0, 1.0, 1.0, 0.0)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """The constants a, g, d."""
        a, g, d = (float(v[0]) for v in self.parameters[:3]) if self.parameters else (1.0, 1.0, 1.0)
        return a, g, d

    @property
    def shaping(self) -> tuple[Float32Array, ...]:
        return self.parameters[:3]

    def steepness(self) -> Fraction:
        a, g, d = (Fraction(v) for v in self.numbers)
        return max(g, abs(a) * g / d)

    def size(self, read: Fraction, ones: Fraction) -> Fraction:
        return self.steepness() * read

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        a, g, d = (np.array(v, np.float32) for v in self.numbers)
        x = machine.flush(xs[0])
        less = rounded(machine, np.expm1, np.minimum(machine.divide(x, d), np.float32(0)))
        y = np.where(x >= 0, x, machine.multiply(less, a))
        return machine.multiply(y, g) if g != 1 else y

    def float64(self, *xs: Float64Array) -> Float64Array:
        a, g, d = self.numbers
        return np.where(xs[0] >= 0, g * xs[0], g * a * np.expm1(np.minimum(xs[0], 0.0) / d))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        a, g, d = self.numbers
        functional = torch.nn.functional
        if g != 1:
            return functional.selu(xs[0]) if _is_selu(a, g) else functional.elu(xs[0], a) * g
        return functional.celu(xs[0], a) if d != 1 else functional.elu(xs[0], a)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        a, g, d = self.numbers
        if d != 1:
            return jax.nn.celu(xs[0], a)
        y = jax.nn.elu(xs[0], np.float32(a))
        return y * np.float32(g) if g != 1 else y

    def box(self, *boxes: Box) -> Box:
        low, high = (self.float64(end) for end in boxes[0])
        turns = np.where((boxes[0][0] < 0) & (boxes[0][1] > 0), 0.0, low)  # where a < 0
        return np.minimum.reduce([low, high, turns]), np.maximum.reduce([low, high, turns])

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        a, g, d = self.numbers
        if d != 1:
            return b.operator("Celu", [*sources], self.name, alpha=a)
        if g != 1:
            return b.operator("Selu", [*sources], self.name, alpha=a, gamma=g)
        return b.operator("Elu", [*sources], self.name, alpha=a)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        return middle_slope(self.shape[0], read, self._derivative, -1e-300, 0.0)

    def _derivative(self, z: Float64Array) -> Float64Array:
        a, g, d = self.numbers
        return np.where(z >= 0, g, g * a / d * np.exp(np.minimum(z, 0.0) / d))


def _is_selu(a: float, g: float) -> bool:
    """The constants of PyTorch's."""
    alpha, gamma = 1.67326319217681884765625, 1.05070102214813232421875
    return (a, g) == (float(np.float32(alpha)), float(np.float32(gamma)))


READERS = {"Celu": Elu.read, "Elu": Elu.read, "Selu": Elu.read}
CURVES = {"elu": Elu}
