"""What a function of each number by itself can say of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lastbit.operators.base import (
    Box,
    Channels,
    Float32Array,
    Float64Array,
    Machine,
    Node,
    Read,
    frozen,
)

if TYPE_CHECKING:
    from lastbit.operators.builder import OnnxBuilder


@dataclass(frozen=True, eq=False)
class Curve(Node):
    """A function of each number by itself.

    Attributes:
        function: the name under which the audit knows what is assumed of it; "" if it is exact.
        steepest: no slope of it is larger.
        grows: it is no larger than its argument; else no larger than 1.
        bends_at_zero: it is far from any line however close to 0 its arguments stay.
        roundings: how often its float64 is rounded; by what else it is off, `cancels` says.
        local: how steep and how large it is depends on where it is read.
        parameters: those of the checker's normal form (C,).
        onnx: its name among the operators of the file format; "" if it has none.
        aten: its name among PyTorch's.
        plain: the parameters (of each channel) with which the audit looks at its function.
    """

    function: ClassVar[str] = ""
    steepest: ClassVar[Fraction]
    grows: ClassVar[bool]
    onnx: ClassVar[str] = ""
    aten: ClassVar[str] = ""
    bends_at_zero: ClassVar[bool] = False
    roundings: ClassVar[int] = 1
    local: ClassVar[bool] = False
    plain: ClassVar[tuple[float, ...]] = ()

    parameters: tuple[Float32Array, ...] = ()

    @classmethod
    def read(cls, r: Read) -> Self:
        """As the checker has read it."""
        return cls(r.name, r.made.shape, r.names, r.made.parameters)

    def box(self, *boxes: Box) -> Box:
        """Between what its ends are: of a curve that rises, or falls, everywhere."""
        ends = [self.float64(end) for end in boxes[0]]
        return np.minimum(*ends), np.maximum(*ends)

    def write(self, b: OnnxBuilder, *sources: str) -> str:
        return b.operator(self.onnx, [*sources], self.name)

    @property
    def shaping(self) -> tuple[Float32Array, ...]:
        """Those of its parameters that tell which function of its name it is."""
        return ()

    def steepness(self) -> Fraction:
        """No slope is larger in magnitude."""
        return self.steepest

    def steepness_at(self, z: Float64Array, off: Float64Array) -> Float64Array:
        """Likewise within ``off`` of z, where that depends on z."""
        return np.broadcast_to(float(self.steepness()), z.shape)

    @property
    def cancels(self) -> float:
        """By so many 2^-53 its float64 is off besides, because terms may cancel."""
        return 0.0

    def size(self, read: Fraction, ones: Fraction) -> Fraction:
        """A bound of its norm, from that of what it reads and that of so many ones."""
        return read if self.grows else ones

    def restricted(self, own: Channels, read: Mapping[str, Channels]) -> Self:
        kept = super().restricted(own, read)
        return replace(kept, parameters=tuple(frozen(v[own]) for v in self.parameters))


def rounded(
    machine: Machine, function: Callable[[Float64Array], Float64Array], x: Float32Array
) -> Float32Array:
    """A function as accurate as float32 allows: computed in float64, and rounded once more."""
    return machine.flush(function(machine.flush(x).astype(np.float64)).astype(np.float32))


def ends_of(channels: int, read: Box) -> tuple[Float64Array, Float64Array]:
    """The least and the largest value of each channel (C,)."""
    low, high = (end.reshape(channels, -1) for end in read)
    return low.min(axis=1), high.max(axis=1)


def middle_slope(
    channels: int, read: Box, derivative: Callable[[Float64Array], Float64Array], *turns: float
) -> Float64Array:
    """The middle of the slopes of a curve over each channel's box (C,), by where these turn."""
    lo, hi = ends_of(channels, read)
    slopes = [derivative(z) for z in (lo, *(np.clip(turn, lo, hi) for turn in turns), hi)]
    return (np.minimum.reduce(slopes) + np.maximum.reduce(slopes)) / 2
