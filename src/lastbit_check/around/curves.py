"""Curves near a point: f(z + d + t) = value + apart + slope t + e for |t| <= r, with bounds on e.

d are known numbers, those by which neighbours of the image are apart; e is about all of them. Of
SiLU, sigmoid and tanh three derivatives are known at the point, and the fourth is bounded:

    a = sigma' = s (1 - s),   sigma'' = a (1 - 2 s),   sigma''' = a (1 - 6 a)
    silu'' = 2 a + z sigma'',   silu''' = 3 sigma'' + z sigma'''

    SiLU: -0.04 <= f'' <= 1/2, |f'''| <= 0.31, |f''''| <= 0.51
    sigmoid:  |f''| <= 0.0963, |f'''| <= 1/8, |f''''| <= 0.13
    tanh:     |f''| <= 0.77,   |f'''| <= 2,   |f''''| <= 4.1

so that, with |d| <= away, f(z + d) is Taylor's cubic within |f''''| away^4 / 24, and e is
between r^2 / 2 times the least and the largest second derivative within r + away, or 0, and within
away r times its magnitude more (Taylor with Lagrange's remainder). Of any other curve the rules for
ranges say between which numbers its slopes are, and the mean slope between two points is one.

Map: near-image
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.around.binary64 import F64, LOGISTIC_ERROR, logistic
from lastbit_check.network import Shape
from lastbit_check.operators.curves import CurveKind, on_grid

GROWN = 1 + 2.0**-40  # more than a few roundings do to a number
MADE_ERROR = 2.0**-38  # of a slope or a second derivative, made of a few logistic functions
OWN_ERROR = 2.0**-49  # of an expression of a few operations, of its magnitudes


class Point(NamedTuple):
    """Where: ``z`` and ``r`` (units,), ``d`` (units, neighbours) and its largest magnitudes."""

    z: F64
    r: F64
    d: F64
    away: F64


class Curved(NamedTuple):
    """``value``, ``slope`` (units,); e is from ``low`` to ``high``, the rest is within ``off``."""

    value: F64
    slope: F64
    apart: F64
    low: F64
    high: F64
    off: F64


def silu(at: Point) -> Curved:
    """z sigma(z)."""
    z, (s, other) = at.z, logistic(at.z)
    first, second, third = _of_sigmoid(s, other)
    slopes = (s + z * first, 2 * first + z * second, 3 * second + z * third)
    return _bent(at, z * s, slopes, (-0.04, 0.5, 0.31, 0.51))


def sigmoid(at: Point) -> Curved:
    """sigma(z)."""
    s, other = logistic(at.z)
    return _bent(at, s, _of_sigmoid(s, other), (-0.0963, 0.0963, 0.125, 0.13))


def tanh(at: Point) -> Curved:
    """sigma(2 z) - sigma(-2 z) = 2 sigma(2 z) - 1."""
    s, other = logistic(2 * at.z)
    first, second, third = _of_sigmoid(s, other)
    return _bent(at, s - other, (4 * first, 8 * second, 16 * third), (-0.77, 0.77, 2.0, 4.1))


def _of_sigmoid(s: F64, other: F64) -> tuple[F64, F64, F64]:
    """Its first three derivatives where it is s = 1 - other."""
    a = s * other
    return a, a * (other - s), a * (1 - 6 * a)


def relu(at: Point) -> Curved:
    """max(z, 0): where it may be bent, any slope from 0 to 1 may be the mean one."""
    slope = (at.z > 0).astype(np.float64)
    over = at.r * GROWN - np.abs(at.z)
    high = np.where(at.away > 0, at.r * (over + at.away * GROWN > 0), np.maximum(over, 0.0))
    apart = np.maximum(at.z[:, None] + at.d, 0.0) - np.maximum(at.z, 0.0)[:, None]
    off = at.away * OWN_ERROR + np.abs(at.z) * (at.away > 0) * 2.0**-50
    low = np.where(at.away > 0, -high, 0.0)
    return Curved(np.maximum(at.z, 0.0), slope, apart, low, high, off)


def _bent(
    at: Point, value: F64, slopes: tuple[F64, F64, F64], most: tuple[float, float, float, float]
) -> Curved:
    """By three derivatives at z; the least and largest second one, the third's and the fourth's.

    Each derivative is off by no more than MADE_ERROR (1 + |z|).
    """
    (least, largest, third, fourth), r, away = most, at.r, at.away
    made, reach = MADE_ERROR * (1 + np.abs(at.z)), r + away
    change = np.minimum(third, np.abs(slopes[2]) + made + fourth * reach) * reach * GROWN + made
    low, high = np.maximum(slopes[1] - change, least), np.minimum(slopes[1] + change, largest)
    twist = np.maximum(np.abs(low), np.abs(high)) * away * r * GROWN
    square = r * r * (GROWN / 2)
    low, high = np.minimum(low, 0.0) * square - twist, np.maximum(high, 0.0) * square + twist
    first, half, sixth = (x[:, None] / n for x, n in zip(slopes, (1, 2, 6), strict=True))
    apart = at.d * (first + at.d * (half + at.d * sixth))
    off = 4 * LOGISTIC_ERROR * (np.abs(value) + 1) + made * (r + away + away**2 + away**3)
    off += away * (np.abs(slopes[0]) + largest * away + third * away**2) * OWN_ERROR
    off += fourth * away**4 * (GROWN / 24)
    return Curved(value, slopes[0], apart, low, high, off)


def by_ranges(curve: CurveKind, shape: Shape, at: Point) -> Curved:
    """Any curve, by what encloses its values and slopes: e is the slopes' half width times r."""
    points = _between(at.z, 0 * at.z, shape)
    around = _between(at.z, at.r + at.away, shape)
    value, width = _middle(*curve.values(*points))
    slope, wrong = _middle(*curve.slopes(*around))
    wrong = wrong + np.abs(slope) * 2.0**-50
    bend = wrong * at.r * GROWN
    off = width * GROWN + np.abs(value) * 2.0**-50
    off += at.away * (wrong * GROWN + np.abs(slope) * OWN_ERROR)
    return Curved(value, slope, slope[:, None] * at.d, -bend, bend, off)


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


NEAR: dict[str, Callable[[Point], Curved]] = {
    "relu": relu,
    "sigmoid": sigmoid,
    "silu": silu,
    "tanh": tanh,
}
"""Curves of which more is known than between which numbers their slopes are."""
