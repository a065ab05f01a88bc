"""The rules that carry what is known of computed values, and of their change, through one node.

For every image and every allowed execution the computed value is, elementwise,

    x = c + A (x_base - c_base) + e,   |e| <= error[..., 0],   |A| radius_base <= spread[..., 0]

with the linear map A of the base node (see cores.py; zero where a node does not depend on it).
For two images that differ in a pixel of group g, |x' - x| <= error[..., 1+g] + spread[..., 1+g].
The last group is no pixel's: it bounds how far a computed value is from the exact one, that of
real arithmetic on the same image.

A rule returns an Outcome: the node's form, and its effects on a difference (docs/bound.md, sections
3 and 4).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from lastbit_check.certificate import Hints
from lastbit_check.cores import Spread
from lastbit_check.enclosure import enclosed
from lastbit_check.exact import ZERO_GRID, Fix, beside, least, most, times, total
from lastbit_check.layers import Layer
from lastbit_check.network import Node, Shape
from lastbit_check.verdict import require

UNIT = Fraction(1, 2**24)  # unit roundoff of binary32
CEILING = Fraction(2) ** 127  # below the overflow threshold of binary32
# Assumptions, in units of u: |computed sigmoid(z) - sigmoid(z)| <= 4u and |computed silu(z) -
# silu(z)| <= 6u|z| + 2^-126; half of either where |z| <= 2^-6; u/16 and u|z|/16 + 2^-126 where
# |z| <= 2^-27, because 1/2 and z/2 are returned there.
SIGMOID_ERROR, SILU_ERROR = Fraction(4), Fraction(6)
NEAR_ZERO, AT_ZERO = Fraction(1, 2**6), Fraction(1, 2**27)
ERROR_AT_ZERO = Fraction(1, 16)
# of a curve: its error anywhere, and its value at 0
CURVES = {"silu": (SILU_ERROR, Fix(np.zeros(1), ZERO_GRID)),
          "sigmoid": (SIGMOID_ERROR, Fix(np.array([2.0**39]), 40))}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """c (C, H, W, 1), error and spread (C, H, W, 1 + groups)."""

    c: Fix
    error: Fix
    spread: Fix

    @property
    def radius(self) -> Fix:
        """Half widths (C, H, W, 1 + groups): range first, then change by group."""
        return total(self.error, self.spread)

    @property
    def interval(self) -> tuple[Fix, Fix]:
        """Lower and upper bound of the computed value (C, H, W, 1)."""
        r = self.radius[..., :1]
        return -total(-self.c, r), total(self.c, r)

    @property
    def magnitude(self) -> Fix:
        """Upper bound of |x| (C, H, W, 1)."""
        return total(self.c.abs(), self.radius[..., :1])

    @property
    def moves(self) -> Fix:
        """Upper bound of |x' - x| by group (C, H, W, groups)."""
        return self.radius[..., 1:]


def underflow(gain: Fraction) -> Fix:
    """One unit of a grid that bounds gain * 2^-126: what underflow and flush-to-zero add."""
    e = min(100, 126 - math.ceil(gain).bit_length())
    require(e > -128, "rounding.underflow", "the underflow term is out of reach")
    return Fix(np.array(1.0), e)


def layer_underflow(layer: Layer, size: Fix) -> Fix:
    """Underflow in a sum of products: every operand read and every result may be off by 2^-126.

    The magnitudes of weights and values multiply that; 64 (terms + 1) operations cover a sum, where
    zeros added to a partial sum count once: a chain of them flushes it once at most.
    """
    return underflow(64 * (layer.terms + 1) * layer.reach * (size.largest() + 1))


def finite(size: Fraction) -> None:
    """Rule finite.values: no computed value, nor partial sum, reaches 2^127."""
    require(2 * size < CEILING, "finite.values", "a value may overflow")


class Outcome(NamedTuple):
    """What a rule makes of a node.

    Its values are c +- ``error`` (C, H, W, 1 + groups), but for the bases and for the ``noise``
    (C, H, W, 1), which bounds the rounding |rho| of one execution. ``bend`` (C, H, W, groups or 1)
    bounds |nu|.
    """

    c: Fix
    error: Fix
    bend: Fix
    noise: Fix

    def form(self, spread: Spread) -> Form:
        """The node's form; ``spread`` is that of all bases before it.

        The noise of one run is on its range and on how far it is off, that of two on a change.
        """
        runs = np.full(self.error.n.shape[3], 2.0)
        runs[[0, -1]] = 1.0
        noise = Fix(self.noise.n * runs, self.noise.e)
        return Form(self.c, total(self.error, spread.slack, noise), spread.spread)


def through(
    node: Node, layer: Layer | None, hints: Hints, sources: list[Form], spread: Spread
) -> Outcome:
    """What becomes of ``sources`` in any node but the softmax."""
    if node.op == "input":
        return image(node.shape)
    if layer:
        return linear(layer, sources[0], spread)
    if node.op == "add":
        return add(sources[0], sources[1])
    if node.op == "gate":
        return gate(hints.slope(node), sources[0], sources[1])
    return curve(node.op, hints.slope(node), node.name in hints.boxes, sources[0])


def image(shape: Shape) -> Outcome:
    """All byte images: centre 127.5, radius 127.5; a pixel's own group moves it by 1.

    A byte is computed exactly: the last group is 0.
    """
    pixels = math.prod(shape)
    ranges, exact = np.full((pixels, 1), 255.0), np.zeros((pixels, 1))
    columns = np.concatenate([ranges, 2.0 * np.eye(pixels), exact], axis=1)
    c, error = Fix(np.full((*shape, 1), 255.0), 1), Fix(columns.reshape(*shape, -1), 1)
    return Outcome(c, error, error[..., 1:], _zero(c))


def linear(layer: Layer, x: Form, spread: Spread) -> Outcome:
    """Convolution, dense, batch norm, scaling, mean: exact but for rounding and the grid."""
    reach = x.magnitude
    finite(layer.reach * (reach.largest() + 1))
    finite(total(layer.spread(reach), layer.bias_size).largest())
    left = layer.left_out(beside(reach, x.moves))
    c, error = _line([layer.core(x.c), layer.bias], layer.spread(x.error), left)
    exact = Outcome(c, error, left[..., 1:], _zero(c))
    rounding = layer.rounding(reach, exact.form(spread).magnitude)
    return exact._replace(noise=total(rounding, layer_underflow(layer, reach)))


def add(x: Form, y: Form) -> Outcome:
    """x + y: one rounding of the sum."""
    size = total(x.magnitude, y.magnitude)
    finite(size.largest())
    noise = total(_share(size), underflow(Fraction(4)))
    parts, none = [_reduced(x.c), _reduced(y.c)], _zero(x.c)
    return Outcome(*_line(parts, total(x.error, y.error), none), none, noise)


def gate(s0: Fix, x: Form, s: Form) -> Outcome:
    """x s, core s0 x: x's' - xs = s0 D_x + (s - s0) D_x + x' D_s."""
    reach, factor = x.magnitude, s.magnitude
    away, size = _deviation(s0, *s.interval), times(reach, factor)
    finite(size.largest())
    noise = total(_share(size), underflow(reach.largest() + factor.largest() + 4))
    bend = total(times(away, x.moves), times(reach, s.moves))
    return Outcome(*_bent(x, s0, _zero(x.c), times(away, reach), bend), bend, noise)


def curve(name: str, m: Fix, boxed: bool, z: Form) -> Outcome:
    """z sigma(z) or sigma(z), core m z: slopes on the range for a change, to 0 for z itself."""
    (anywhere, at_zero), (lo, hi) = CURVES[name], z.interval
    size = z.magnitude if name == "silu" else Fix(np.ones_like(z.c.n), 0)
    noise = total(times(size, _error(anywhere, z.magnitude)), underflow(Fraction(1)))
    slopes = enclosed(f"{name}'", lo, hi)
    bend = times(_deviation(m, *slopes), z.moves)
    if boxed:
        steepest = most(-slopes[0], slopes[1])
        return Outcome(*_box(enclosed(name, lo, hi), times(steepest, z.moves)), bend, noise)
    hull = Fix(np.minimum(lo.n, 0.0), lo.e), Fix(np.maximum(hi.n, 0.0), hi.e)
    rest = times(_deviation(m, *enclosed(f"{name}'", *hull)), z.magnitude)
    return Outcome(*_bent(z, m, at_zero, rest, bend), bend, noise)


def _line(parts: list[Fix], carried: Fix, left: Fix) -> tuple[Fix, Fix]:
    """A sum of centres, each within a few units of its grid, and its error.

    That is what is ``carried`` of earlier errors, and what the line has ``left`` out.
    """
    c = _reduced(total(*parts, up=False))
    slack = total(*(Fix(np.full(c.n.shape, 4.0), v.e) for v in (c, *parts)))
    return c, total(carried, left, beside(slack, Fix(0 * carried.n[..., 1:], slack.e)))


def _bent(x: Form, m: Fix, at_zero: Fix, rest: Fix, bend: Fix) -> tuple[Fix, Fix]:
    """m x + at_zero +- rest, where a change deviates from m D by at most ``bend``."""
    own = _reduced(x.c)
    parts = [Fix(own.n * m.n, own.e + m.e), Fix(0 * own.n, own.e), at_zero]
    return _line(parts, times(m.abs(), x.error, bits=(21, 31)), beside(rest, bend))


def _box(interval: tuple[Fix, Fix], moves: Fix) -> tuple[Fix, Fix]:
    """An interval and bounded changes: how the value depends on the bases is forgotten.

    Both runs stay in the interval, so none changes by more than its width.
    """
    lo, hi = interval
    middle = total(lo, hi, up=False)
    c = _reduced(Fix(middle.n, middle.e + 1))
    half = most(total(hi, -c), total(c, -lo))
    return c, beside(half, least(moves, total(hi, -lo)))


def _deviation(m: Fix, lo: Fix, hi: Fix) -> Fix:
    """max |s - m| over all s from ``lo`` to ``hi``."""
    return most(total(hi, -m), total(m, -lo))


def _zero(like: Fix) -> Fix:
    return Fix(np.zeros_like(like.n), ZERO_GRID)


def _reduced(c: Fix) -> Fix:
    """Centres are kept to 30 bits, so that a product with a slope is exact."""
    return c.fit(30, up=False)


def _share(size: Fix) -> Fix:
    """u * size: one rounding."""
    return Fix(size.n, size.e + 24)


def _error(anywhere: Fraction, reach: Fix) -> Fix:
    """The assumed error, a multiple of u / 16, of a function read where |z| <= reach."""
    near = anywhere / 2 if reach.largest() <= NEAR_ZERO else anywhere
    units = ERROR_AT_ZERO if reach.largest() <= AT_ZERO else near
    return Fix(np.array(float(units * 16)), 28)
