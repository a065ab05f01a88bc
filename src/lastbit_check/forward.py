"""The rules that carry a form through one node.

Each returns the node's form and its effects on a difference: ``remainder`` bounds |nu| by group,
``rounding`` bounds |rho| of one execution (docs/bound.md, sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from lastbit_check import enclosure, norms
from lastbit_check.columns import Spread
from lastbit_check.exact import Fix, beside, common, least, times, total
from lastbit_check.forms import Form, finite, layer_underflow, norm, root, underflow, up
from lastbit_check.hints import Hints
from lastbit_check.layers import Layer
from lastbit_check.network import Node

# Assumptions, in units of u: |computed sigmoid(z) - sigmoid(z)| <= 4u and |computed silu(z) -
# silu(z)| <= 6u|z| + 2^-126; half of either where |z| <= 2^-6; u/16 and u|z|/16 + 2^-126 where
# |z| <= 2^-27, because 1/2 and z/2 are returned there.
SIGMOID_ERROR, SILU_ERROR = Fraction(4), Fraction(6)
NEAR_ZERO, AT_ZERO = Fraction(1, 2**6), Fraction(1, 2**27)
ERROR_AT_ZERO = Fraction(1, 16)

Enclosure = Callable[[Fix, Fix], tuple[Fix, Fix]]
Sizes = tuple[Fraction, Fraction]  # bounds of |x|_2 and |x' - x|_2, as in Form


@dataclass(frozen=True)
class Effects:
    """remainder (C, H, W, groups or 1) and rounding (C, H, W, 1), both upper bounds."""

    remainder: Fix
    rounding: Fix


Step = tuple[Form, Effects]


def through(
    node: Node, layer: Layer | None, hints: Hints, sources: list[Form], spread: Spread
) -> Step:
    """The form of any node but the input and softmax; ``spread`` is that of all bases before it."""
    if layer:
        return linear(node, layer, hints.norms.get(node.name), sources[0], spread)
    if node.op == "add":
        return add(node, sources[0], sources[1], spread)
    if node.op == "gate":
        return gate(node, hints, sources[0], sources[1], spread)
    return (silu if node.op == "silu" else sigmoid)(node, hints, sources[0], spread)


def _noisy(form: Form, noise: Fix) -> Form:
    """Adds the noise: of one execution to the range, of two to a change, of one to what is off."""
    runs = np.full(form.error.n.shape[3], 2.0)
    runs[[0, -1]] = 1.0
    error, loss = total(form.error, Fix(noise.n * runs, noise.e)), norm(noise)
    size, change = up(form.size + loss), up(form.change + 2 * loss)
    return replace(form, error=error, size=size, change=change)


def _zero(like: Fix) -> Fix:
    return Fix(np.zeros_like(like.n), 100)


def _reduced(c: Fix) -> Fix:
    """Centres are kept to 30 bits, so that a product with a slope is exact."""
    return c.fit(30, up=False)


def _share(size: Fix) -> Fix:
    """u * size: one rounding."""
    return Fix(size.n, size.e + 24)


def _sum(parts: list[Fix], wide: Fix, spread: Spread, sizes: Sizes) -> Form:
    """A sum of centres, each within a few units of its grid; ``wide`` bounds the sum of errors."""
    c = _reduced(total(*parts, up=False))
    grid = total(*(Fix(np.full(c.n.shape, 4.0), v.e) for v in (c, *parts)))
    first = np.zeros(wide.n.shape)
    first[..., :1] = grid.n
    return Form(c, total(wide, Fix(first, grid.e), spread.slack), spread.spread, *sizes)


def linear(node: Node, layer: Layer, claimed: float | None, x: Form, spread: Spread) -> Step:
    """Convolution, dense, batch norm, scaling, mean: exact but for rounding and the grid."""
    gain, reach = norms.gain(layer, node, claimed), x.magnitude
    finite(layer.reach * (reach.largest() + 1), node.name)
    bias, heavy = (v.reshape(-1, 1, 1, 1) for v in (layer.bias, layer.bias_size))
    finite(total(layer.spread(reach), heavy).largest(), node.name)
    left = layer.left_out(beside(reach, x.moves))
    wide = total(layer.spread(x.error), left)
    pixels = root(Fraction(node.shape[1] * node.shape[2]))
    offset = norm(Fix(np.abs(layer.bias.n) + 1, layer.bias.e)) * pixels
    sizes = gain * x.size + offset, gain * x.change
    form = _sum([layer.core(x.c), bias], wide, spread, sizes)
    rounding = layer.rounding(reach, form.magnitude)
    noise = total(rounding, layer_underflow(layer, reach, node.name))
    return _noisy(form, noise), Effects(left[..., 1:], noise)


def add(node: Node, x: Form, y: Form, spread: Spread) -> Step:
    """x + y: one rounding of the sum."""
    size = total(x.magnitude, y.magnitude)
    finite(size.largest(), node.name)
    noise = total(_share(size), underflow(Fraction(4), node.name))
    sizes = x.size + y.size, x.change + y.change
    parts = [_reduced(x.c), _reduced(y.c)]
    form = _sum(parts, total(x.error, y.error), spread, sizes)
    return _noisy(form, noise), Effects(_zero(form.c), noise)


def silu(node: Node, hints: Hints, x: Form, spread: Spread) -> Step:
    """z sigma(z), core m z: |silu(z)| <= |z|, and it is 0 at 0."""
    rate, reach = _error(SILU_ERROR, x.magnitude), x.magnitude.fit(44)
    noise = total(Fix(reach.n * rate.n, reach.e + rate.e), underflow(Fraction(1), node.name))
    sizes = x.size, Fraction(109984, 100000) * x.change
    curve = (enclosure.silu_slopes, enclosure.silu_values)
    return _curved(node, hints, x, spread, *curve, _zero(x.c), noise, sizes)


def sigmoid(node: Node, hints: Hints, x: Form, spread: Spread) -> Step:
    """1 / (1 + exp(-z)), core m z: it is at most 1, and 1/2 at 0."""
    noise = total(_error(SIGMOID_ERROR, x.magnitude), underflow(Fraction(1), node.name))
    noise = Fix(np.broadcast_to(noise.n, x.c.n.shape), noise.e)
    sizes, half = (root(Fraction(x.c.n.size)), x.change / 4), Fix(np.full_like(x.c.n, 2.0**39), 40)
    curve = (enclosure.sigmoid_slopes, enclosure.sigmoid_values)
    return _curved(node, hints, x, spread, *curve, half, noise, sizes)


def _curved(
    node: Node, hints: Hints, x: Form, spread: Spread, slopes: Enclosure, values: Enclosure,
    at_zero: Fix, noise: Fix, sizes: Sizes,
) -> Step:  # fmt: skip
    """A curve by its slopes: on the range for a change, on the hull of the range and 0 for z."""
    (lo, hi), m = x.interval, hints.slope(node)
    least, most = slopes(lo, hi)
    bend = times(_deviation(m, least, most), x.moves)
    if node.name in hints.boxes:
        steep = Fix(np.maximum(np.abs(least.n), np.abs(most.n)), enclosure.BITS)
        form = _boxed(values(lo, hi), times(steep, x.moves), noise, sizes)
    else:
        hull = slopes(Fix(np.minimum(lo.n, 0.0), lo.e), _above_zero(hi))
        rest = times(_deviation(m, *hull), x.magnitude)
        form = _bent(x, m, at_zero, rest, bend, noise, spread, sizes)
    return form, Effects(bend, noise)


def gate(node: Node, hints: Hints, x: Form, s: Form, spread: Spread) -> Step:
    """x s, core s0 x: x's' - xs = s0 D_x + (s - s0) D_x + x' D_s."""
    reach, factor, s0 = x.magnitude, s.magnitude, hints.slope(node)
    lo, hi = s.interval
    e = min(common(lo, hi), s0.e + 20)
    centre = s0.at(e, up=False).n
    away = np.maximum(np.abs(hi.at(e).n - centre), np.abs(lo.at_down(e).n - centre))
    away = Fix(away + float(e < s0.e), e)
    size = times(reach, factor)
    finite(size.largest(), node.name)
    tiny = underflow(reach.largest() + factor.largest() + 4, node.name)
    noise = total(_share(size), tiny)
    carried = times(reach, s.moves)
    bend = total(times(away, x.moves), carried)
    pixels = root(Fraction(node.shape[1] * node.shape[2]))
    change = factor.largest() * x.change + pixels * reach.largest() * s.change
    sizes = factor.largest() * x.size, change
    if node.name in hints.boxes:
        moves = total(times(factor, x.moves), carried)
        form = _boxed(_product(x.interval, s.interval), moves, noise, sizes)
    else:
        form = _bent(x, s0, _zero(x.c), times(away, reach), bend, noise, spread, sizes)
    return form, Effects(bend, noise)


def _bent(x: Form, m: Fix, at_zero: Fix, rest: Fix, bend: Fix, noise: Fix, spread: Spread,
          sizes: Sizes) -> Form:  # fmt: skip
    """m z + at_zero +- rest, where a change deviates from m D by at most ``bend``."""
    own = _reduced(x.c)
    c = _reduced(total(Fix(own.n * m.n, own.e + m.e), at_zero, up=False))
    lost = float(own.e != x.c.e)
    slack = total(Fix(np.full(c.n.shape, 8.0), c.e), Fix(np.full(c.n.shape, lost), own.e))
    kept = times(m.abs(), x.error, bits=(21, 31))
    wide = total(kept, beside(total(rest, slack), bend), spread.slack)
    return _noisy(Form(c, wide, spread.spread, *sizes), noise)


def _boxed(interval: tuple[Fix, Fix], moves: Fix, noise: Fix, sizes: Sizes) -> Form:
    """A form that forgets how the value depends on the base: an interval, and bounded changes.

    Both runs stay in the interval, so none changes by more than its width.
    """
    lo, hi = interval
    e = common(lo, hi)
    low, high = lo.at_down(e).n, hi.at(e).n
    c = _reduced(Fix(np.floor((low + high) / 2), e))
    half = Fix(np.ceil((high - low) / 2) + 2, e).at(c.e)
    wide = beside(Fix(half.n + 1, c.e), least(moves, Fix(high - low, e)))
    return _noisy(Form(c, wide, _zero(c), *sizes), noise)


def _deviation(m: Fix, least: Fix, most: Fix) -> Fix:
    """max |s - m| over the slopes s from ``least`` to ``most``."""
    centre = m.at(enclosure.BITS).n
    return Fix(np.maximum(np.abs(most.n - centre), np.abs(least.n - centre)), enclosure.BITS)


def _product(x: tuple[Fix, Fix], s: tuple[Fix, Fix]) -> tuple[Fix, Fix]:
    """Interval of a product, from the positive and the negative parts of its factors."""
    x_minus, x_plus = _above_zero(Fix(-x[0].n, x[0].e)), _above_zero(x[1])
    s_minus, s_plus = _above_zero(Fix(-s[0].n, s[0].e)), _above_zero(s[1])
    below = total(times(x_plus, s_minus), times(x_minus, s_plus))
    return Fix(-below.n, below.e), total(times(x_plus, s_plus), times(x_minus, s_minus))


def _above_zero(hi: Fix) -> Fix:
    return Fix(np.maximum(hi.n, 0.0), hi.e)


def _error(anywhere: Fraction, reach: Fix) -> Fix:
    """The assumed error, a multiple of u / 16, of a function read where |z| <= reach."""
    near = anywhere / 2 if reach.largest() <= NEAR_ZERO else anywhere
    units = ERROR_AT_ZERO if reach.largest() <= AT_ZERO else near
    return Fix(np.array(float(units * 16)), 28)
