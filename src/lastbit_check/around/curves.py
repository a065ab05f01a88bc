"""Curves near a point: f(z + d) = value + slope d + e for |d| <= r, with bounds on e.

Of SiLU, sigmoid and tanh the second derivative is known at the point, and the third is bounded:

    silu'' = s (1 - s) (2 - z tanh(z / 2)),  -0.04 <= silu'' <= 1/2,  |silu'''| <= 0.31
    sigma'' = s (1 - s) (1 - 2 s),           |sigma''| <= 0.0963,     |sigma'''| <= 1/8
    tanh'' = -2 t (1 - t^2),                 |tanh''| <= 0.77,        |tanh'''| <= 2

so that e is between r^2 / 2 times the least and the largest second derivative within r, or 0
(Taylor with Lagrange's remainder). Of any other curve the rules for ranges say between which
numbers its slopes are, and the mean slope from z to z + d is one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lastbit_check.arithmetic.binary64 import F64, LOGISTIC_ERROR, logistic
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.network import Shape
from lastbit_check.operators.curves import CurveKind, on_grid

GROWN = 1 + 2.0**-40  # more than a few roundings do to a number
MADE_ERROR = 2.0**-38  # of a slope or a second derivative, made of a few logistic functions


class Near(NamedTuple):
    """``value`` and ``slope`` (units,); e is from ``low`` to ``high``, and ``off`` more."""

    value: F64
    slope: F64
    low: F64
    high: F64
    off: F64


def silu(z: F64, r: F64) -> Near:
    """z sigma(z), whose slope is s (1 + z (1 - s))."""
    s, other = logistic(z)
    second = s * other * (2 - z * (s - other))
    return _bent(z * s, s * (1 + z * other), second, (-0.04, 0.5, 0.31), r)


def sigmoid(z: F64, r: F64) -> Near:
    """sigma(z), whose slope is s (1 - s)."""
    s, other = logistic(z)
    return _bent(s, s * other, s * other * (other - s), (-0.0963, 0.0963, 0.125), r)


def tanh(z: F64, r: F64) -> Near:
    """sigma(2 z) - sigma(-2 z), whose slope is 4 s (1 - s)."""
    s, other = logistic(2 * z)
    t, slope = s - other, 4 * s * other
    return _bent(t, slope, -2 * t * slope, (-0.77, 0.77, 2.0), r)


def relu(z: F64, r: F64) -> Near:
    """max(z, 0): of a z that may change its sign, e is what the other slope would add."""
    slope = (z > 0).astype(np.float64)
    none = np.zeros(z.shape)
    return Near(np.maximum(z, 0.0), slope, none, np.maximum(r * GROWN - np.abs(z), 0.0), none)


def _bent(value: F64, slope: F64, second: F64, most: tuple[float, float, float], r: F64) -> Near:
    """By the second derivative at z, its least and its largest value, and the third's magnitude."""
    least, largest, third = most
    low = np.maximum(second - MADE_ERROR - third * r * GROWN, least)
    high = np.minimum(second + MADE_ERROR + third * r * GROWN, largest)
    square = r * r * (GROWN / 2)
    off = 4 * LOGISTIC_ERROR * (np.abs(value) + 1) + MADE_ERROR * r
    return Near(value, slope, np.minimum(low, 0.0) * square, np.maximum(high, 0.0) * square, off)


def by_ranges(curve: CurveKind, shape: Shape, z: F64, r: F64) -> Near:
    """Any curve, by what encloses its values and slopes: e is the slopes' half width times r."""
    points, around = _between(z, 0 * r, shape), _between(z, r, shape)
    value, width = _middle(*curve.values(*points))
    slope, away = _middle(*curve.slopes(*around))
    bend = (away + np.abs(slope) * 2.0**-50) * r * GROWN
    return Near(value, slope, -bend, bend, width * GROWN + np.abs(value) * 2.0**-50)


def _between(z: F64, r: F64, shape: Shape) -> tuple[Fix, Fix]:
    """Grid numbers (C, H, W, 1) below and above all numbers within r of z."""
    away = (np.abs(z) * 2.0**-50 + r) * GROWN
    low, high = ((z + side).reshape(*shape, 1) for side in (-away, away))
    return on_grid(low, ZERO_GRID, up=False), on_grid(high, ZERO_GRID, up=True)


def _middle(low: Fix, high: Fix) -> tuple[F64, F64]:
    """The middle of intervals (units,), and half their widths."""
    a, b = (np.ldexp(end.n, -end.e).ravel() for end in (low, high))
    middle = (a + b) / 2
    return middle, np.maximum(b - middle, middle - a)


NEAR: dict[str, Callable[[F64, F64], Near]] = {
    "relu": relu,
    "sigmoid": sigmoid,
    "silu": silu,
    "tanh": tanh,
}
"""Curves of which more is known than between which numbers their slopes are."""
