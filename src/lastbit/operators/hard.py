"""HardSigmoid and HardSwish, and lines between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine, Node, Read
from lastbit.operators.pointwise import Curve, ends_of

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder

SIXTH = np.array(1 / 6, np.float32)
HALF = np.array(0.5, np.float32)


@final
@dataclass(frozen=True, eq=False)
class HardSigmoid(Curve):
    """x / 6 + 1/2 between 0 and 1, with the binary32 number next to 1/6."""

    function = "hardsigmoid"
    steepest = Fraction(1, 6)
    grows = False
    onnx = "HardSigmoid"
    aten = "hardsigmoid.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return hard_sigmoid(machine, xs[0])

    def float64(self, *xs: Float64Array) -> Float64Array:
        return np.clip((xs[0] + 3) / 6, 0.0, 1.0)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        return torch.nn.functional.hardsigmoid(xs[0])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.hard_sigmoid(xs[0])

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator("HardSigmoid", [*sources], self.name, alpha=float(SIXTH), beta=0.5)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        low, high = ends_of(self.shape[0], read)
        inside = straight | ((low >= -3) & (high <= 3))
        return np.where(inside, 1 / 6, 1 / 12)


@final
@dataclass(frozen=True, eq=False)
class HardSwish(Curve):
    """x times its HardSigmoid, by two operations."""

    function = "hardswish"
    steepest = Fraction(3, 2)
    grows = True
    onnx = "HardSwish"
    aten = "hardswish.default"

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.multiply(xs[0], hard_sigmoid(machine, xs[0]))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] * np.clip((xs[0] + 3) / 6, 0.0, 1.0)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        import torch

        return torch.nn.functional.hardswish(xs[0])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.hard_swish(xs[0])

    def box(self, *boxes: Box) -> Box:
        low, high = boxes[0]
        least = np.minimum(self.float64(low), self.float64(high))
        lowest = (low < -1.5) & (high > -1.5)
        return np.where(lowest, -0.375, least), np.maximum(self.float64(low), self.float64(high))

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        return np.full(self.shape[0], 0.5) if straight else _middle_slope(self.shape[0], read)


@final
@dataclass(frozen=True, eq=False)
class Line(Curve):
    """a x + b between 0 and 1, HardSigmoid of any constants: ``parameters`` a, b (C,)."""

    steepest = Fraction(1)
    grows = False
    bends_at_zero = True

    @property
    def numbers(self) -> tuple[Float32Array, Float32Array]:
        """The constants a and b."""
        a, b = (np.array(v[0], np.float32) for v in self.parameters[:2])
        return a, b

    def steepness(self) -> Fraction:
        return abs(Fraction(float(self.numbers[0])))

    @property
    def cancels(self) -> float:
        return 4.0 * (1.0 + abs(float(self.numbers[1])))  # |a x| <= 1 + |b|, or it is clipped

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        a, b = self.numbers
        return np.clip(machine.add(machine.multiply(xs[0], a), b), np.float32(0), np.float32(1))

    def float64(self, *xs: Float64Array) -> Float64Array:
        a, b = (float(v) for v in self.numbers)
        return np.clip(a * xs[0] + b, 0.0, 1.0)

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        a, b = (float(v) for v in self.numbers)
        return (xs[0] * a + b).clamp(0, 1)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        a, b = self.numbers
        return jax.numpy.clip(xs[0] * a + b, 0, 1)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        alpha, beta = (float(v) for v in self.numbers)
        return b.operator("HardSigmoid", [*sources], self.name, alpha=alpha, beta=beta)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        a, b = (float(v) for v in self.numbers)
        ends = [a * end + b for end in ends_of(self.shape[0], read)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        inside, somewhere = (low >= 0) & (high <= 1), (low < 1) & (high > 0)
        return a * (inside * 0.5 + (inside | somewhere) * 0.5)


def hard_sigmoid(machine: Machine, x: Float32Array) -> Float32Array:
    """Operation by operation."""
    line = machine.add(machine.multiply(x, SIXTH), HALF)
    return np.clip(line, np.float32(0), np.float32(1))


def _middle_slope(channels: int, read: Box) -> Float64Array:
    """Per channel the middle of the slopes of HardSwish over the channel's box (C,)."""
    lo, hi = ends_of(channels, read)
    ends = [np.clip((2 * z + 3) / 6, -0.5, 1.5) for z in (lo, hi)]
    least = np.where(lo < -3, np.where(hi < -3, 0.0, -0.5), np.where(lo > 3, 1.0, ends[0]))
    most = np.where(hi > 3, np.where(lo > 3, 1.0, 1.5), np.where(hi < -3, 0.0, ends[1]))
    return (least + most) / 2


def read_hard_sigmoid(r: Read) -> Node:
    """HardSigmoid, whether or not a product makes it a HardSwish."""
    kind = Line if r.made.op == "line" else HardSigmoid
    return kind(r.name, r.made.shape, r.names, r.made.parameters)


READERS = {"HardSigmoid": read_hard_sigmoid, "HardSwish": HardSwish.read}
CURVES = {"hardsigmoid": HardSigmoid, "hardswish": HardSwish, "line": Line}
