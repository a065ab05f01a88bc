"""Sigmoid and SiLU: curves, followed by their slopes.

What is assumed of them, in units of u = 2^-24 (docs/bound.md, section 2): |computed sigmoid(z) -
sigmoid(z)| <= 4u and |computed silu(z) - silu(z)| <= 6u|z| + 2^-126; half of either where |z| <=
2^-6; u/16 and u|z|/16 + 2^-126 where |z| <= 2^-27, because 1/2 and z/2 are returned there.

Map: silu-sigmoid <- silu_value_slope, curve_change, unit_rounding; argued in PROOF.md 3.5
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags_array

from lastbit_check.arithmetic.binary32 import CEILING, UNIT_BITS, underflow
from lastbit_check.arithmetic.enclosure import (
    SIGMOID,
    SIGMOID_SLOPE,
    SILU,
    SILU_SLOPE,
    enclosed,
)
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints, least, most, times, total
from lastbit_check.files.operators import UNARY
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.forms import Bound, Change, Made, Value, line, reduced
from lastbit_check.operators.kinds import Core, Kind, Setting
from lastbit_check.operators.reading import Reader, Rule, made
from lastbit_check.verdict import require

SIGMOID_ERROR, SILU_ERROR = Fraction(4), Fraction(6)
NEAR_ZERO, AT_ZERO = Fraction(1, 2**6), Fraction(1, 2**27)
ERROR_AT_ZERO = Fraction(1, 16)


Enclosure = Callable[[Fix, Fix], tuple[Fix, Fix]]
"""Of a function on [lo, hi], elementwise."""


@dataclass(frozen=True)
class CurveKind:
    """A curve f by what encloses its values, and its slopes, on an interval.

    ``error`` is what is ``assumed``: of |f(z)| if it is ``relative``, else of |z| if it ``grows``;
    where it is ``precise``, less near 0; and ``also`` of |z| besides.
    ``at_zero`` is f(0), if f is not ``singular`` there, and no slope is steeper than ``gain``.
    ``turn`` bounds |f''| by 2^-turn; None where there is a kink. What runtimes compute on the way
    is finite where |z| <= ``most``. If it ``folds``, a constant of its own may be folded with those
    that were added before: its node's parameters (C,) say how many u more that costs, like
    ``error``.
    """

    values: Enclosure
    slopes: Enclosure
    error: Fraction
    grows: bool
    at_zero: Fix
    turn: int | None
    assumed: tuple[str, ...] = ()
    precise: bool = False
    relative: bool = False
    also: Fraction = Fraction(0)
    singular: bool = False
    most: Fraction = CEILING
    gain: Fraction = Fraction(1)
    folds: bool = False
    hinted: frozenset[str] = frozenset({"slopes", "boxes"})

    def value(self, setting: Setting, sources: list[Value], _: Fix) -> Made:
        """Slopes on the hull of the range and 0, for the value itself; or about its centre."""
        (z,) = sources
        require(z.largest <= self.most, "finite.values", "a value may overflow on the way")
        (lo, hi), m = z.interval, setting.slope
        size = self._size(z)
        noise = total(times(size, self._assumed(z.magnitude)), underflow(self.gain))
        if self.also:
            noise = total(noise, times(z.magnitude, _units(self.also)))
        if self.folds:
            more = setting.node.parameters[0].astype(np.float64).reshape(-1, 1, 1, 1)
            noise = total(noise, times(size, Fix(more, UNIT_BITS)))
        if setting.boxed:
            return Made(*boxed(self.values(lo, hi)), noise)
        if self.singular:
            middle, off = boxed(self.values(z.c, z.c))
            rest = total(off, times(deviation(m, *self.slopes(lo, hi)), z.bound.radius))
            carried = times(m.abs(), z.bound.error, bits=(21, 31))
            return Made(*line([middle], carried, rest), noise)
        hull = Fix(np.minimum(lo.n, 0.0), lo.e), Fix(np.maximum(hi.n, 0.0), hi.e)
        rest = times(deviation(m, *self.slopes(*hull)), z.magnitude)
        return Made(*bent(z, m, self.at_zero, rest), noise)

    def change(self, setting: Setting, sources: list[Value], moves: list[Bound]) -> Change:
        """Slopes on the range: both runs are in it. None changes by more than the box's width."""
        (z,), (move,) = sources, moves
        lo, hi = z.interval
        slopes = self.slopes(lo, hi)
        bend = times(deviation(setting.slope, *slopes), move.radius)
        if setting.boxed:
            low, high = self.values(lo, hi)
            steepest = times(most(-slopes[0], slopes[1]), move.radius)
            return Change(least(steepest, total(high, -low)), bend)
        carried = times(setting.slope.abs(), move.error, bits=(21, 31))
        return Change(total(carried, bend), bend)

    def apart(self, setting: Setting, z: Value, moves: Fix, off: Fix, errors: Bound) -> Change:
        """How the errors of two runs differ: f(z') - f(Z') - (f(z) - f(Z)), Z in real arithmetic.

        With |z - Z| <= off and mean slopes s of f from Z to z, s' from Z' to z', that is
        s' ((z' - Z') - (z - Z)) + (s' - s) (z - Z), and |s' - s| <= max |f''| times ``moves``, or
        what any two slopes differ by.
        """
        slopes = self.slopes(*z.interval)
        if self.turn is None:
            twist = times(total(slopes[1], -slopes[0]), off)
        else:
            twist = times(moves, off)
            twist = Fix(twist.n, twist.e + self.turn)
        bend = total(times(deviation(setting.slope, *slopes), errors.radius), twist)
        if setting.boxed:
            steepest = most(-slopes[0], slopes[1])
            return Change(total(times(steepest, errors.radius), twist), bend)
        carried = times(setting.slope.abs(), errors.error, bits=(21, 31))
        return Change(total(carried, bend), bend)

    def settled(self, z: Value) -> NDArray[np.bool_]:
        """Units (C, H, W) whose computed value is one binary32 number, whatever z is in its range.

        Within u/16 + 2^-29 of 1/2 there is no other than 1/2.
        """
        if self.grows or not self.precise:
            return np.zeros(z.c.n.shape[:3], np.bool_)
        magnitude = z.magnitude
        limit = AT_ZERO * Fraction(2) ** magnitude.e
        return magnitude.n[..., 0] <= math.floor(limit)

    def cores(self, setting: Setting) -> list[Core]:
        """The slope of each channel."""
        return [diagonal(setting)]

    def _size(self, z: Value) -> Fix:
        """What the assumed error is a multiple of."""
        if self.relative:
            low, high = self.values(*z.interval)
            return most(low.abs(), high.abs())
        return z.magnitude if self.grows else Fix(np.ones_like(z.c.n), 0)

    def _assumed(self, reach: Fix) -> Fix:
        """The assumed error, a multiple of u / 16, of a function read where |z| <= reach."""
        units = self.error
        if self.precise:
            near = self.error / 2 if reach.largest() <= NEAR_ZERO else self.error
            units = ERROR_AT_ZERO if reach.largest() <= AT_ZERO else near
        return _units(units)


@dataclass(frozen=True)
class Family:
    """Curves that differ in the parameters of their nodes: ``of`` says which one a node has."""

    of: Callable[[Node], CurveKind]
    assumed: tuple[str, ...] = ()
    hinted: frozenset[str] = frozenset({"slopes", "boxes"})

    def value(self, setting: Setting, sources: list[Value], spread: Fix) -> Made:
        """The node's own."""
        return self.of(setting.node).value(setting, sources, spread)

    def change(self, setting: Setting, sources: list[Value], moves: list[Bound]) -> Change:
        """The node's own."""
        return self.of(setting.node).change(setting, sources, moves)

    def cores(self, setting: Setting) -> list[Core]:
        """The slope of each channel."""
        return [diagonal(setting)]


def curve_of(kind: Kind, node: Node) -> CurveKind | None:
    """The curve that a node is, if its kind is one."""
    if isinstance(kind, Family):
        return kind.of(node)
    return kind if isinstance(kind, CurveKind) else None


def diagonal(setting: Setting) -> Core:
    """The core of a node that multiplies its first input, channel by channel, by the slope."""
    node, m = setting.node, setting.slope
    return Core(node.inputs[0], diags_array(np.broadcast_to(m.n, (*node.shape, 1)).ravel()), m.e)


def bent(x: Value, m: Fix, at_zero: Fix, rest: Fix) -> tuple[Fix, Fix]:
    """m x + at_zero +- rest: its centre, and its error."""
    own = reduced(x.c)
    parts = [Fix(own.n * m.n, own.e + m.e), Fix(0 * own.n, own.e), at_zero]
    return line(parts, times(m.abs(), x.bound.error, bits=(21, 31)), rest)


def deviation(m: Fix, lo: Fix, hi: Fix) -> Fix:
    """max |s - m| over all s from ``lo`` to ``hi``."""
    return most(total(hi, -m), total(m, -lo))


def on_grid(x: Ints, e: int, *, up: bool) -> Fix:
    """Numbers of binary64 on a grid 2^-e, or a coarser one of 50 bits, rounded up or down."""
    top = math.frexp(float(np.max(np.abs(x), initial=0.0)))[1]
    e = min(e, 50 - top)
    scaled = np.ldexp(x, e)
    return Fix(np.ceil(scaled) if up else np.floor(scaled), e)


def boxed(interval: tuple[Fix, Fix]) -> tuple[Fix, Fix]:
    """The middle of an interval, and half its width: how a value depends on bases is forgotten."""
    lo, hi = interval
    middle = total(lo, hi, up=False)
    c = reduced(Fix(middle.n, middle.e + 1))
    return c, most(total(hi, -c), total(c, -lo))


def _units(count: Fraction) -> Fix:
    """So many u, a multiple of u / 16."""
    return Fix(np.array(float(count * 16)), UNIT_BITS + 4)


def _sigmoid(_: Reader, o: Operator, x: Node) -> Node:
    return made(o, "sigmoid", x)


_HALF: Ints = np.array([2.0**39])
RULES = {"Sigmoid": Rule({1: _sigmoid}, by_number=True)}
KINDS = {
    "silu": CurveKind(
        partial(enclosed, SILU),
        partial(enclosed, SILU_SLOPE),
        SILU_ERROR,
        True,
        Fix(np.zeros(1), ZERO_GRID),
        1,
        ("silu-absolute-6u|z|-3u|z|-u|z|/16",),
        precise=True,
    ),
    "sigmoid": CurveKind(
        partial(enclosed, SIGMOID),
        partial(enclosed, SIGMOID_SLOPE),
        SIGMOID_ERROR,
        False,
        Fix(_HALF, 40),
        3,
        ("sigmoid-absolute-4u-2u-u/16",),
        precise=True,
    ),
}
FORMS = {"Sigmoid": {7: UNARY}}
