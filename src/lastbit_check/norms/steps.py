"""How a deviation of what a node reads goes on through it, in Euclidean norms.

A deviation is the difference of two values of each node: of any execution and the reference, or of
two executions. Through a sum it goes by the weights; through a curve by mean slopes; of a product

    x' s' - x s = s' (x' - x) + x (s' - s),

where x and s are the one, x' and s' the other of the two. A number of s that multiplies the numbers
of x in a set J makes of the last term |x_J|_2 |s' - s|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from lastbit_check.around.binary64 import F64, V, gamma, real, upper
from lastbit_check.around.linear import Sums, Weights
from lastbit_check.around.slopes import Index
from lastbit_check.network import Node, Shape, View
from lastbit_check.norms.gains import Gain, gain_of
from lastbit_check.norms.sizes import Size, fitted, of_each, of_units
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.forms import Value
from lastbit_check.operators.kinds import Setting

Views = tuple[View | None, ...]
BEYOND = {"silu": 0.27847}
"""With g(z) = z - silu(z) = z sigma(-z), which rises up to 1.278..., where it is below this, and
falls from there to 0, and x > v: silu(x) - silu(v) = x - v + g(v) - g(x), and g(v) <= g(x) where
v < 0, 0 <= g(x) else; silu(v) - silu(x) is at most 0.1 (x - v), because no slope is below that."""


class Step(Protocol):
    """Of one node."""

    @property
    def gains(self) -> list[float]:
        """By how much the norm of each input's deviation may be multiplied."""
        ...

    def carried(self, sizes: list[Size], /) -> Size:
        """From deviations of the inputs."""
        ...

    def linear(self, columns: list[F64], /) -> tuple[F64, Size]:
        """The linear part of it, from known deviations (units, K), and what that leaves out."""
        ...


@dataclass(frozen=True)
class Through:
    """A sum."""

    node: Node
    parts: tuple[Weights, ...]
    made: tuple[Gain, ...]
    counts: tuple[int, ...]
    views: Views
    terms: int

    @property
    def gains(self) -> list[float]:
        return [gain.total for gain in self.made]

    def carried(self, sizes: list[Size]) -> Size:
        found, channels = list[Size](), self.node.shape[0]
        each = math.prod(self.node.shape[1:])
        for k, (part, gain) in enumerate(zip(self.parts, self.made, strict=True)):
            read = sizes[k].seen(self.views[k])
            group = read.groups(self.counts[k]).repeat(channels // self.counts[k], axis=0)
            rows = (gain.rows[:, None] * group).repeat(each, axis=0)
            units = upper(np.minimum(part.size @ sizes[k].units, rows))
            by_channel = upper(gain.channels[:, None] * group)
            found.append(fitted(upper(gain.total * read.total), by_channel, units))
        return found[0].plus(*found[1:])

    def linear(self, columns: list[F64]) -> tuple[F64, Size]:
        pairs = list(zip(self.parts, columns, strict=True))
        c = sum(part.on(x) for part, x in pairs) + np.zeros(())
        lost = gamma(self.terms) + max(part.off for part in self.parts)
        most = [part.heaviest * np.max(np.abs(x), axis=0) for part, x in pairs]
        return c, of_each(upper(upper(np.sum(most, axis=0)) * lost), self.node.shape)


@dataclass(frozen=True)
class Bending:
    """A curve f, whose mean slopes are within ``off`` of ``middle`` (units,).

    What it reads is named by ``index``, and seen by a ``view``. Of a deviation as a whole, not of a
    part of it, |f(x) - f(v)| <= |x - v| + ``beyond``, if that is said.
    """

    middle: F64
    off: F64
    shape: Shape
    index: Index
    view: View | None
    beyond: float = math.inf

    @property
    def channels(self) -> int:
        return self.shape[0]

    @cached_property
    def slopes(self) -> F64:
        """No mean slope is larger (units,)."""
        return upper(np.abs(self.middle) + self.off)

    @property
    def gains(self) -> list[float]:
        return [float(np.max(self.slopes))]

    def carried(self, sizes: list[Size]) -> Size:
        read = sizes[0].seen(self.view)
        most = np.max(self.slopes.reshape(self.channels, -1), axis=1)
        total, channels = self.gains[0] * read.total, most[:, None] * read.channels
        steep = fitted(upper(total), upper(channels), upper(self.slopes[:, None] * read.units))
        if self.beyond == math.inf:
            return steep
        return steep.within(read.plus(of_each(np.array([self.beyond]), self.shape)))

    def linear(self, columns: list[F64]) -> tuple[F64, Size]:
        read = columns[0][self.index]
        c = self.middle[:, None] * read
        off = upper(self.off + 2 * V * np.abs(self.middle))[:, None]
        return c, of_units(upper(off * np.abs(read)), self.shape)


def between(low: F64, high: F64) -> tuple[F64, F64]:
    """A middle of intervals, and how far their ends are from it."""
    middle = low + (high - low) / 2
    return middle, upper(np.maximum(high - middle, middle - low))


def through(node: Node, setting: Setting, sums: Sums) -> Through:
    """The step of a sum, with the gains of its kernels."""
    assert node.sum is not None and setting.layer is not None
    made = list[Gain]()
    for part, weights, known in zip(node.sum.parts, setting.layer.parts, sums.parts, strict=True):
        made.append(gain_of(known.kernel, weights.places, part.strides, known.off))
    counts = tuple(part.groups for part in node.sum.parts)
    views = tuple(part.view for part in node.sum.parts)
    return Through(node, sums.parts, (*made,), counts, views, sums.terms)


def bending(node: Node, curve: CurveKind, source: Value, index: Index) -> Bending:
    """The step of a curve whose input is known."""
    ends = (real(x) for x in curve.slopes(*source.interval))
    low, high = (np.broadcast_to(x, (*node.shape, 1)).ravel() for x in ends)
    return Bending(*between(low, high), node.shape, index, (node.views or (None,))[0])
