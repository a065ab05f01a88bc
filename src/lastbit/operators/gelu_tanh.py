"""Gelu by the hyperbolic tangent, or twice that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine, Node, Read
from lastbit.operators.gelu import HALF, ONE, Gelu, Scaled
from lastbit.operators.pointwise import middle_slope, rounded

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

ROOT, CUBED, THREE = (np.array(x, np.float32) for x in ((2 / np.pi) ** 0.5, 0.044715, 3))


@final
@dataclass(frozen=True, eq=False)
class GeluTanh(Scaled):
    """x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), halved at last if its scale is 1 and not 2."""

    function = "gelutanh"
    steepest = Fraction(1128994, 1000000)

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        x = xs[0]
        cube = machine.multiply(machine.multiply(machine.multiply(x, x), x), CUBED)
        inner = machine.multiply(machine.add(x, cube), ROOT)
        twice = machine.multiply(x, machine.add(rounded(machine, np.tanh, inner), ONE))
        return twice if self.scale == 2 else machine.multiply(twice, HALF)

    def float64(self, *xs: Float64Array) -> Float64Array:
        return self.scale * gelu_tanh(xs[0])

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        y = torch.nn.functional.gelu(xs[0], approximate="tanh")
        return y * 2 if self.scale == 2 else y

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        y = jax.nn.gelu(xs[0], approximate=True)
        return y * 2 if self.scale == 2 else y

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        ends = self.float64(low), self.float64(high)
        lowest = (low < -0.7524) & (high > -0.7525)
        least = np.where(lowest, self.scale * -0.170041, np.minimum(*ends))
        return least, np.maximum(*ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        def made(op: str, part: str, *xs: str) -> str:
            return b.operator(op, [*xs], f"{self.name}.{part}")

        def number(part: str, value: Float32Array) -> str:
            return b.constant(f"{self.name}.{part}", value)

        (x,) = sources
        cube = made("Pow", "cube", x, number("three", THREE))
        inner = made("Add", "inner", x, made("Mul", "scaled", cube, number("cubed", CUBED)))
        tanh = made("Tanh", "tanh", made("Mul", "argument", inner, number("root", ROOT)))
        more = made("Add", "more", tanh, number("one", ONE))
        if self.scale == 1:
            more = made("Mul", "halved", more, number("half", HALF))
        return b.operator("Mul", [x, more], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        middle = middle_slope(self.shape[0], read, _slope, -1.418504, 1.418504)
        return self.scale * (np.full_like(middle, 0.5) if straight else middle)


def gelu_tanh(z: Float64Array) -> Float64Array:
    """z sigmoid(2 w), by an exponential that does not overflow, nor cancels."""
    w = 2 * (2 / np.pi) ** 0.5 * z * (1 + 0.044715 * z * z)
    power = np.exp(-np.abs(w))
    return z * np.where(w > 0, 1, power) / (1 + power)


def _slope(z: Float64Array) -> Float64Array:
    """With s = sigmoid(2 w): s + z s (1 - s) 2 w'."""
    root = 2 * (2 / np.pi) ** 0.5
    s = 0.5 * (1 + np.tanh(root * z * (1 + 0.044715 * z * z) / 2))
    return s + z * s * (1 - s) * root * (1 + 3 * 0.044715 * z * z)


def read_gelu(r: Read) -> Node:
    """Gelu as one operator, by either formula."""
    kind = GeluTanh if r.made.op == "gelutanh" else Gelu
    return kind(r.name, r.made.shape, r.names, r.made.parameters)


READERS = {"Gelu": read_gelu}
CURVES = {"gelutanh": GeluTanh}
