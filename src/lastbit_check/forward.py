"""The rules that carry a form through one node.

Each returns the node's form and its effects on a difference: ``remainder`` bounds |nu| by group,
``rounding`` bounds |rho| of one execution (docs/bound.md, sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check import enclosure
from lastbit_check.exact import Fix, Ints, beside, common, least, times, total
from lastbit_check.forms import (
    Form,
    finite,
    largest,
    layer_underflow,
    norm,
    root,
    underflow,
    up,
)
from lastbit_check.hints import Hints
from lastbit_check.layers import Layer
from lastbit_check.network import Node

# Assumptions, in units of u: |computed sigmoid(z) - sigmoid(z)| <= 4u and |computed silu(z) -
# silu(z)| <= 6u|z| + 2^-126; half of either where |z| <= 2^-6; u/16 and u|z|/16 + 2^-126 where
# |z| <= 2^-27, because 1/2 and z/2 are returned there.
SIGMOID_ERROR, SILU_ERROR = Fraction(4), Fraction(6)
NEAR_ZERO, AT_ZERO = Fraction(1, 2**6), Fraction(1, 2**27)
ERROR_AT_ZERO = Fraction(1, 16)


Slopes = Callable[[Fix, Fix], tuple[Ints, Ints]]
Curve = tuple[Slopes, Callable[[Fix, Fix], tuple[Fix, Fix]]]


@dataclass(frozen=True)
class Effects:
    """remainder (C, H, W, groups or 1) and rounding (C, H, W, 1), both upper bounds."""

    remainder: Fix
    rounding: Fix


def _zero(like: Form) -> Fix:
    return Fix(np.zeros_like(like.c.n), 100)


def _noisy(terms: list[Fix], noise: Fix, groups: int) -> Fix:
    """Sum of the terms plus one execution's noise on the range, two on every change."""
    double = np.full(1 + groups, 2.0)
    double[0] = 1.0
    return total(*terms, Fix(noise.n * double, noise.e))


def linear(layer: Layer, node: Node, x: Form, spread: Fix, gain: Fraction) -> tuple[Form, Effects]:
    """Convolution, dense, batch norm, scaling, mean: exact but for rounding and the grid."""
    reach = x.magnitude
    finite(layer.reach * (largest(reach) + 1), node.name)
    bias = Fix(layer.bias.n.reshape(-1, 1, 1, 1), layer.bias.e)
    core = layer.core(x.c)
    c = _reduced(total(core, bias, up=False))
    size = total(
        layer.spread(reach), Fix(layer.bias_size.n.reshape(-1, 1, 1, 1), layer.bias_size.e)
    )
    finite(largest(size), node.name)
    rounding = total(layer.rounding(reach), layer_underflow(layer, reach, node.name))
    grid = total(*(Fix(np.full(c.n.shape, 4.0), v.e) for v in (c, core, bias)))
    left = layer.left_out(beside(reach, x.moves))
    wide = total(layer.spread(x.error), left)
    error = _noisy([wide, _first(grid, wide)], rounding, wide.n.shape[3] - 1)
    loss = norm(rounding)
    offset = norm(Fix(np.abs(layer.bias.n) + 1, layer.bias.e)) * root(
        Fraction(node.shape[1] * node.shape[2])
    )
    form = Form(c, error, spread, up(gain * x.size + offset + loss), up(gain * x.change + 2 * loss))
    return form, Effects(left[..., 1:], rounding)


def _first(x: Fix, like: Fix) -> Fix:
    """x (C, H, W, 1) in the first of as many columns as ``like`` has, 0 elsewhere."""
    n = np.zeros(like.n.shape)
    n[..., :1] = x.n
    return Fix(n, x.e)


def _reduced(c: Fix) -> Fix:
    """Centres are kept to 30 bits, so that a product with a slope is exact."""
    return c.fit(30, up=False)


def _deviation(m: Fix, slopes: tuple[Ints, Ints]) -> Fix:
    """max |s - m| over the enclosed slopes s."""
    low, high = slopes
    centre = np.ldexp(m.n, enclosure.BITS - m.e)
    return Fix(np.maximum(np.abs(high - centre), np.abs(low - centre)), enclosure.BITS)


def _boxed(
    x: Form, lo: Fix, hi: Fix, moves: Fix, noise: Fix, sizes: tuple[Fraction, Fraction]
) -> Form:
    """A form that forgets how the value depends on the base: an interval, and bounded changes.

    Both runs stay in the interval, so none changes by more than its width.
    """
    e = common(lo, hi)
    low, high = lo.at_down(e).n, hi.at(e).n
    c = _reduced(Fix(np.floor((low + high) / 2), e))
    half = Fix(np.ceil((high - low) / 2) + 2, e).at(c.e)
    wide = beside(Fix(half.n + 1, c.e), least(moves, Fix(high - low, e)))
    none = Fix(np.zeros_like(x.c.n), 100)
    return Form(c, _noisy([wide], noise, moves.n.shape[3]), none, *sizes)


def _bent(x: Form, m: Fix, offset: Fix, rest: Fix, bend: Fix, noise: Fix, spread: Fix,
          sizes: tuple[Fraction, Fraction]) -> Form:  # fmt: skip
    """m z + offset +- rest, where a change deviates from m D by at most ``bend``."""
    own = _reduced(x.c)
    c = _reduced(total(Fix(own.n * m.n, own.e + m.e), offset, up=False))
    kept = times(m.abs(), x.error, bits=(21, 31))
    slack = total(
        Fix(np.full(c.n.shape, 8.0), c.e), Fix(np.full(c.n.shape, float(own.e != x.c.e)), own.e)
    )
    wide = total(kept, beside(total(rest, slack), bend))
    return Form(c, _noisy([wide], noise, bend.n.shape[3]), spread, *sizes)


def silu(node: Node, hints: Hints, x: Form, spread: Fix) -> tuple[Form, Effects]:
    """z sigma(z), core m z: |silu(z)| <= |z|, and it is 0 at 0."""
    rate, reach = _error(SILU_ERROR, x.magnitude), x.magnitude.fit(44)
    noise = total(Fix(reach.n * rate.n, reach.e + rate.e), underflow(Fraction(1), node.name))
    loss = norm(noise)
    sizes = up(x.size + loss), up(Fraction(109984, 100000) * x.change + 2 * loss)
    curve = (enclosure.silu_slopes, enclosure.silu_values)
    return _curved(node, hints, x, spread, curve, _zero(x), noise, sizes)


def sigmoid(node: Node, hints: Hints, x: Form, spread: Fix) -> tuple[Form, Effects]:
    """1 / (1 + exp(-z)), core m z: it is at most 1, and 1/2 at 0."""
    noise = total(_error(SIGMOID_ERROR, x.magnitude), underflow(Fraction(1), node.name))
    noise = Fix(np.broadcast_to(noise.n, x.c.n.shape), noise.e)
    loss, half = norm(noise), Fix(np.full_like(x.c.n, 2.0**39), 40)
    sizes = up(root(Fraction(x.c.n.size)) + loss), up(x.change / 4 + 2 * loss)
    curve = (enclosure.sigmoid_slopes, enclosure.sigmoid_values)
    return _curved(node, hints, x, spread, curve, half, noise, sizes)


def _curved(
    node: Node, hints: Hints, x: Form, spread: Fix, curve: Curve, at_zero: Fix, noise: Fix,
    sizes: tuple[Fraction, Fraction],
) -> tuple[Form, Effects]:  # fmt: skip
    """A curve by its slopes: on the range for a change, on the hull of the range and 0 for z."""
    slopes, values = curve
    lo, hi = x.interval
    m, found = hints.slope(node), slopes(lo, hi)
    bend = times(_deviation(m, found), x.moves)
    if node.name in hints.boxes:
        steep = Fix(np.maximum(np.abs(found[0]), np.abs(found[1])), enclosure.BITS)
        form = _boxed(x, *values(lo, hi), times(steep, x.moves), noise, sizes)
        return form, Effects(bend, noise)
    hull = slopes(Fix(np.minimum(lo.n, 0.0), lo.e), _above_zero(hi))
    rest = times(_deviation(m, hull), x.magnitude)
    return _bent(x, m, at_zero, rest, bend, noise, spread, sizes), Effects(bend, noise)


def _above_zero(hi: Fix) -> Fix:
    return Fix(np.maximum(hi.n, 0.0), hi.e)


def _error(anywhere: Fraction, reach: Fix) -> Fix:
    """The assumed error, a multiple of u / 16, of a function read where |z| <= reach."""
    near = anywhere / 2 if largest(reach) <= NEAR_ZERO else anywhere
    units = ERROR_AT_ZERO if largest(reach) <= AT_ZERO else near
    return Fix(np.array(float(units * 16)), 28)


def _share(size: Fix) -> Fix:
    """u * size: one rounding."""
    return Fix(size.n, size.e + 24)


def gate(node: Node, hints: Hints, x: Form, s: Form, spread: Fix) -> tuple[Form, Effects]:
    """x s, core s0 x: x's' - xs = s0 D_x + (s - s0) D_x + x' D_s."""
    reach, factor, s0 = x.magnitude, s.magnitude, hints.slope(node)
    lo, hi = s.interval
    e = min(common(lo, hi), s0.e + 20)
    centre = np.ldexp(s0.n, e - s0.e) if e >= s0.e else s0.at(e, up=False).n
    away = np.maximum(np.abs(hi.at(e).n - centre), np.abs(lo.at_down(e).n - centre))
    away = Fix(away + float(e < s0.e), e)
    size = times(reach, factor)
    tiny = underflow(largest(reach) + largest(factor) + 4, node.name)
    noise = total(_share(size), tiny)
    finite(largest(size), node.name)
    carried = times(reach, s.moves)
    loss, spatial = norm(noise), root(Fraction(node.shape[1] * node.shape[2]))
    sizes = (
        up(largest(factor) * x.size + loss),
        up(largest(factor) * x.change + spatial * largest(reach) * s.change + 2 * loss),
    )
    bend = total(times(away, x.moves), carried)
    if node.name in hints.boxes:
        moves = total(times(factor, x.moves), carried)
        low, high = _product(x.interval, s.interval)
        return _boxed(x, low, high, moves, noise, sizes), Effects(bend, noise)
    rest = times(away, reach)
    return _bent(x, s0, _zero(x), rest, bend, noise, spread, sizes), Effects(bend, noise)


def _product(x: tuple[Fix, Fix], s: tuple[Fix, Fix]) -> tuple[Fix, Fix]:
    """Interval of a product, from the positive and the negative parts of its factors."""
    x_minus, x_plus = (_above_zero(Fix(-x[0].n, x[0].e)), _above_zero(x[1]))
    s_minus, s_plus = (_above_zero(Fix(-s[0].n, s[0].e)), _above_zero(s[1]))
    below = total(times(x_plus, s_minus), times(x_minus, s_plus))
    return Fix(-below.n, below.e), total(times(x_plus, s_plus), times(x_minus, s_minus))


def add(node: Node, x: Form, y: Form, spread: Fix) -> tuple[Form, Effects]:
    """x + y: one rounding of the sum."""
    c = total(_reduced(x.c), _reduced(y.c), up=False)
    c = _reduced(c)
    slack = total(*(Fix(np.full(c.n.shape, 4.0), v.e) for v in (c, _reduced(x.c), _reduced(y.c))))
    wide = total(x.error, y.error)
    size = total(x.magnitude, y.magnitude)
    finite(largest(size), node.name)
    noise = total(_share(size), underflow(Fraction(4), node.name))
    loss = norm(noise)
    error = _noisy([wide, _first(slack, wide)], noise, wide.n.shape[3] - 1)
    form = Form(c, error, spread, up(x.size + y.size + loss), up(x.change + y.change + 2 * loss))
    return form, Effects(_zero(form), noise)
