"""Div: by a constant, of a constant, or of two values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.affine import read_affine
from lastbit.operators.base import Box, Float32Array, Float64Array, Machine, Node, Read
from lastbit.operators.powers import Reciprocal, away

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class Quotient(Node):
    """x / y."""

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.divide(*xs)

    def float64(self, *xs: Float64Array) -> Float64Array:
        return xs[0] / xs[1]

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0] / xs[1]

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return xs[0] / xs[1]

    def box(self, *boxes: Box) -> Box:
        ends = [x / y for x in boxes[0] for y in away(boxes[1])]
        return np.minimum.reduce(ends), np.maximum.reduce(ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator("Div", [*sources], self.name)

    def slope(self, read: Box, mean: Float64Array, *, straight: bool) -> Float64Array:
        return np.where(np.abs(mean) > 2.0**-16, 1 / np.where(mean == 0, 1.0, mean), 0.0)


def read_quotient(r: Read) -> Node:
    """By a constant, which is a factor, of a constant, or of two values."""
    if r.made.op == "reciprocal":
        return Reciprocal.read(r)
    if len(r.names) == 1:
        return read_affine(r)
    return Quotient(r.name, r.made.shape, r.made.inputs, views=r.made.views)


READERS = {"Div": read_quotient}
