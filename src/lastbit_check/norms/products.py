"""Products and maxima: how deviations of what they read go on (steps.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lastbit_check.around.binary64 import F64, V, upper
from lastbit_check.around.slopes import Index
from lastbit_check.network import Node, Shape, View
from lastbit_check.norms.sizes import Size, everywhere, fitted, of_units, root
from lastbit_check.norms.steps import between

Ends = tuple[F64, F64]
WIDER = 1 + 2.0**-40  # more than a root and a product are off by


@dataclass(frozen=True)
class Scaling:
    """A product x s: what is read of each by ``index`` is within ``off`` of ``middle`` (units,).

    ``together`` (units of s,) bound the norms of all x that a number of s multiplies; with
    ``by_channel`` these are a channel.
    """

    middle: tuple[F64, F64]
    off: tuple[F64, F64]
    index: tuple[Index, Index]
    together: F64
    shape: Shape
    by_channel: bool
    view: View | None

    @cached_property
    def most(self) -> tuple[F64, F64]:
        """Upper bounds of |x| and |s|."""
        pairs = zip(self.middle, self.off, strict=True)
        x, s = (upper(np.abs(middle) + off) for middle, off in pairs)
        return x, s

    @property
    def gains(self) -> list[float]:
        return [float(np.max(self.most[1])), float(np.max(self.together))]

    def carried(self, sizes: list[Size]) -> Size:
        x, s = sizes[0].seen(self.view), sizes[1]
        of_x, of_s = self.most
        most = np.max(of_s.reshape(self.shape[0], -1), axis=1)[:, None]
        scaled = fitted(upper(self.gains[0] * x.total), upper(most * x.channels),
                        upper(of_s[:, None] * x.units))  # fmt: skip
        each = upper(self.together[:, None] * s.units)
        total = np.minimum(root(each, 1)[0], upper(self.gains[1] * s.total))
        channels = each if self.by_channel else everywhere(total, self.shape[0])
        units = upper(of_x[:, None] * s.units[self.index[1]])
        return scaled.plus(fitted(total, channels, units))

    def linear(self, columns: list[F64]) -> tuple[F64, Size]:
        read = [x[index] for x, index in zip(columns, self.index, strict=True)]
        pairs = list(zip(read, self.middle[::-1], self.off[::-1], strict=True))
        c = sum(by[:, None] * x for x, by, _ in pairs) + np.zeros(())
        off = sum(upper(off + 4 * V * np.abs(by))[:, None] * np.abs(x) for x, by, off in pairs)
        return c, of_units(upper(off + np.zeros(())), self.shape)


@dataclass(frozen=True)
class Choosing:
    """The largest of each window: it differs by no more than some number of the window does.

    No number is in more than ``often`` windows.
    """

    taps: Index
    often: int
    shape: Shape

    @property
    def gains(self) -> list[float]:
        return [math.sqrt(self.often) * WIDER]

    def carried(self, sizes: list[Size]) -> Size:
        units = np.max(sizes[0].units[self.taps], axis=0)
        total = upper(self.gains[0] * sizes[0].total)
        return fitted(total, everywhere(total, self.shape[0]), units)

    def linear(self, columns: list[F64]) -> tuple[F64, Size]:
        most = np.max(np.abs(columns[0])[self.taps], axis=0)
        return 0 * most, of_units(most, self.shape)


def scaling(node: Node, index: tuple[Index, Index], x: Ends, s: Ends, together: F64) -> Scaling:
    """The step of a product: the ends of x (units,) and of s, as they are read.

    And bounds of the norms of x by s.
    """
    (of_x, off_x), (of_s, off_s) = between(*x), between(*s)
    view, alike = (node.views or (None,))[0], by_channel(node, index[1])
    both = (of_x, of_s), (off_x, off_s)
    return Scaling(*both, index, together, node.shape, alike, view)


def by_channel(node: Node, index: Index) -> bool:
    """Whether each channel has a factor of its own."""
    channels = np.arange(node.shape[0]).repeat(math.prod(node.shape[1:]))
    return np.array_equal(index, channels)


def by_factor(x: F64, index: Index, factors: int) -> F64:
    """The norms of all x that each of so many factors multiplies (factors,)."""
    squares = np.bincount(index, np.square(x), factors).astype(np.float64)
    return upper(np.sqrt(upper(squares)))


def choosing(node: Node, taps: Index, index: Index) -> Choosing:
    """The step of a maximum over windows of what is read by an index."""
    units = index[taps]
    return Choosing(units, int(np.max(np.bincount(units.ravel()))), node.shape)
