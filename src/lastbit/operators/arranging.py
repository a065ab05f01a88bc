"""Concat, Slice, Split, Gather, Pad, Expand, Tile: numbers in other places, none computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import (
    Box,
    Float32Array,
    Float64Array,
    Machine,
    Node,
    Read,
    frozen,
)

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class Copies(Node):
    """Units of what it reads, by its views, in places of which each has one; ``fill`` elsewhere."""

    fill: Float32Array

    @property
    def arrays(self) -> tuple[Float32Array, ...]:
        return (self.fill,)

    @property
    def channelwise(self) -> bool:
        return False

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        return machine.flush(sum(xs, self.fill))

    def float64(self, *xs: Float64Array) -> Float64Array:
        return sum(xs, self.fill.astype(np.float64))

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return sum(xs, constants[0])

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return sum(xs, self.fill)

    def box(self, *boxes: Box) -> Box:
        low, high = zip(*boxes, strict=True)
        return self.float64(*low), self.float64(*high)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        made, *others = sources
        for k, other in enumerate(others):
            made = b.add(made, other, f"{self.name}.{k}")
        if self.fill.any():
            made = b.affine(made, "add", self.fill, f"{self.name}.filled")
        return b.operator("Identity", [made], self.name)


def read_copies(r: Read) -> Node:
    """What the checker has read as copies."""
    assert r.made.sum is not None
    constants = r.made.sum.constants
    fill = constants[0].value if constants else np.zeros((1, 1, 1), np.float32)
    return Copies(r.name, r.made.shape, r.made.inputs, frozen(fill), views=r.views)


READERS = dict.fromkeys(
    ("Concat", "Expand", "Gather", "Pad", "Slice", "Split", "Tile"), read_copies
)
