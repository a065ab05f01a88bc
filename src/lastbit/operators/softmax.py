"""Softmax over the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from lastbit.operators.base import Box, Float32Array, Float64Array, Machine, Node, Read

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@final
@dataclass(frozen=True, eq=False)
class Softmax(Node):
    """Softmax over the channels of (C, 1, 1); the last node."""

    @property
    def channelwise(self) -> bool:
        return False

    def float32(self, machine: Machine, *xs: Float32Array) -> Float32Array:
        x = machine.flush(xs[0])
        powers = machine.flush(machine.exp(machine.subtract(x, np.max(x, keepdims=True))))
        return machine.divide(powers, machine.sum(powers)[None])

    def float64(self, *xs: Float64Array) -> Float64Array:
        powers = np.exp(xs[0] - xs[0].max())
        return powers / powers.sum()

    def torch(self, constants: Sequence[Any], *xs: Any) -> Any:
        return xs[0].softmax(1)

    def jax(self, jax: Any, precision: str | None, *xs: Any) -> Any:
        return jax.nn.softmax(xs[0], axis=1)

    def box(self, *boxes: Box) -> Box:
        return np.zeros(self.shape), np.ones(self.shape)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.softmax(sources[0], self.name)


def read_softmax(r: Read) -> Node:
    """Softmax of the logits."""
    return Softmax(r.name, r.made.shape, r.names)


READERS = {"Softmax": read_softmax}
