"""Mul of two values: a gate, or a curve, where one is a curve of the other (SiLU, say)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.affine import read_affine
from lastbit.operators.base import Box, Float32Array, Float64Array, Machine, Node, Read
from lastbit.operators.curves import Silu
from lastbit.operators.gelu import Gelu
from lastbit.operators.gelu_tanh import GeluTanh
from lastbit.operators.hard import HardSwish
from lastbit.operators.pointwise import Curve
from lastbit.operators.powers import Power
from lastbit.operators.soft import Mish

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class Gate(Node):
    """x * s with x (C, H, W) and s (C, 1, 1), repeated over the image, or (C, H, W)."""

    @property
    def s(self) -> str:
        """The second node that is read."""
        return self.inputs[1]

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.multiply(*xs)

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] * xs[1]

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0] * xs[1]

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return xs[0] * xs[1]

    def box(self, *boxes: Box) -> Box:
        ends = [x * s for x in boxes[0] for s in boxes[1]]
        return np.minimum.reduce(ends), np.maximum.reduce(ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.gate(sources[0], sources[1], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        return mean


MADE: dict[str, type[Curve]] = {
    "gelu": Gelu,
    "gelutanh": GeluTanh,
    "mish": Mish,
    "power": Power,
    "hardswish": HardSwish,
    "silu": Silu,
}


def read_product(r: Read) -> Node:
    """Mul: by a constant, a curve, or a gate; the checker says which, and of what."""
    if r.made.op in MADE:
        return MADE[r.made.op](r.name, r.made.shape, r.made.inputs, r.made.parameters)
    if len(r.names) == 1:
        return read_affine(r)
    return Gate(r.name, r.made.shape, r.made.inputs, views=r.made.views)


READERS = {"Mul": read_product}
