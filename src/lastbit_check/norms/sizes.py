"""Euclidean norms of a deviation of a node: of all of it, channel by channel, unit by unit.

Each of the three bounds the others: no unit is larger than its channel, no channel than all, and
all is at most the root of the sum of the squares of the parts. There may be one of each for every
cell that may move, or one for all of them: their last axis is then of one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lastbit_check.around.binary64 import F64, upper
from lastbit_check.network import Shape, View


class Size(NamedTuple):
    """Upper bounds of deviations: ``total`` (K,), ``channels`` (C, K) and ``units`` (units, K)."""

    total: F64
    channels: F64
    units: F64

    def plus(self, *others: Size) -> Size:
        """Of a sum of deviations."""
        total, channels, units = self
        for other in others:
            total, channels = total + other.total, channels + other.channels
            units = units + other.units
        return fitted(upper(total), upper(channels), upper(units))

    def times(self, factor: float) -> Size:
        """Of so many times that, a power of two."""
        return Size(factor * self.total, factor * self.channels, factor * self.units)

    def within(self, other: Size) -> Size:
        """Of what both bound."""
        channels = np.minimum(self.channels, other.channels)
        units = np.minimum(self.units, other.units)
        return fitted(np.minimum(self.total, other.total), channels, units)

    def worst(self) -> Size:
        """Of any cell (one column)."""
        total, channels, units = (np.max(x, axis=-1, keepdims=True) for x in self)
        return Size(total, channels, units)

    def seen(self, view: View | None) -> Size:
        """In another shape and order: a unit that is seen more than once counts as often."""
        if view is None:
            return self
        if view.order is None:
            alike = len(self.channels) == view.shape[0]
            channels = self.channels if alike else everywhere(self.total, view.shape[0])
            return fitted(self.total, channels, self.units)
        there = view.order >= 0
        often = float(np.max(np.bincount(view.order[there]), initial=0))
        units = np.where(there[:, None], self.units[view.order], 0.0)
        total = upper(math.sqrt(often) * self.total)
        return fitted(total, everywhere(total, view.shape[0]), units)

    def groups(self, count: int) -> F64:
        """Of so many groups of channels (count, K)."""
        return np.minimum(self.total, root(self.channels, count))


def everywhere(total: F64, channels: int) -> F64:
    """The same for each of so many channels (channels, K)."""
    return np.broadcast_to(total, (channels, len(total)))


def fitted(total: F64, channels: F64, units: F64) -> Size:
    """With each of the three no larger than the others say."""
    count, columns = len(channels), units.shape[1]
    channels = np.minimum(np.minimum(channels, total), root(units, count))
    least = np.minimum(units.reshape(count, -1, columns), channels[:, None])
    total = np.minimum(total, root(channels, 1)[0])
    return Size(total, channels, least.reshape(len(units), -1))


def of_units(units: F64, shape: Shape) -> Size:
    """Of a deviation of which each unit (units, K) is bounded by itself."""
    channels = root(units, shape[0])
    return Size(root(channels, 1)[0], channels, units)


def of_each(bound: F64, shape: Shape) -> Size:
    """Of a deviation none of whose units is larger than a bound (K,)."""
    each, units = math.prod(shape[1:]), math.prod(shape)
    total, channel = (upper(math.sqrt(count) * bound) for count in (units, each))
    return Size(total, everywhere(channel, shape[0]), np.broadcast_to(bound, (units, len(bound))))


def root(x: F64, parts: int) -> F64:
    """The norms of so many parts of numbers (n, K), one after the other (parts, K)."""
    return upper(np.sqrt(upper(np.sum(np.square(x.reshape(parts, -1, x.shape[1])), axis=1))))
