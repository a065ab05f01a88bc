"""A linear node as exact integers: its linear core, what the core leaves out, its rounding.

The core is the nearest integer matrix of 20 bits on a dyadic grid; where a weight is not on the
grid, ``inexact`` is 1 and the weight is within one unit of the core. What follows the sums is
folded: the real weight is w * gamma / root. ``extra`` is as in Norm. ``reach`` is a crude integer
bound on the gain of every intermediate step, for underflow and overflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lastbit_check.exact import LIMIT, Fix, Ints, apply_near, apply_up, common, from_float, grid
from lastbit_check.network import Node, Shape, exact
from lastbit_check.verdict import require

WEIGHT_BITS = 20
Rows = NDArray[np.intp]
Map = Callable[[Ints], Ints]


@dataclass(frozen=True)
class Layer:
    """Integers w (O, I / groups, kh, kw) with exponent ``e``; arrays are (C, H, W, K)."""

    w: Ints
    e: int
    inexact: Ints
    bias: Fix  # (O,), within one unit of the folded bias
    bias_size: Fix  # (O,), upper bound of the magnitudes summed with the products
    extra: int
    terms: int
    reach: int
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int
    shape: Shape
    source: Shape

    def core(self, x: Fix) -> Fix:
        """Image under the core, within one unit of the result's grid."""
        return self._image(apply_near, self.w, x)

    def spread(self, x: Fix) -> Fix:
        """Upper bound of the image of x >= 0 under the absolute values of the true weights."""
        return self._image(apply_up, np.abs(self.w) + self.inexact, x)

    def left_out(self, x: Fix) -> Fix:
        """Upper bound of |true weights - core| applied to x >= 0."""
        return self._image(apply_up, self.inexact, x)

    def _image(self, apply: Callable[[Map, int, Fix], Fix], w: Ints, x: Fix) -> Fix:
        y = apply(partial(self.conv, w), heaviest_row(w), x)
        return Fix(y.n, y.e + self.e)

    def rounding(self, reach: Fix, whole: Fix) -> Fix:
        """Upper bound of the rounding of one execution (O, H, W, 1) for values |x| <= reach.

        ``whole`` bounds the exact sums. n terms of magnitudes m_1 >= ... >= m_n, in all M, are
        added by some tree. Its i-th largest subtree has at most k = n - i + 1 leaves, so its exact
        sum is at most the k largest m; and at most (M + F) / 2, because what it leaves out of the
        whole, which is F at most, has M less its own magnitudes. Each sum errs by u of its
        subtree's computed sum; a term by ``extra`` u of itself, but a product with a power of two
        is exact. What subtrees have erred by before is at most h u M / (1 - h u) each (Higham,
        Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1).
        """
        w = np.abs(self.w) + self.inexact
        steps = self.terms + 1 + self.extra
        bits = 50 - (steps * max(1, heaviest_row(w))).bit_length()
        require(bits >= 8, "rounding.depth", "a sum is too long")
        room = common(self.bias_size, bits=49 - steps.bit_length())  # the bias is a term, too
        x = reach.fit(bits)
        x = x.at(min(x.e, room - self.e))
        taps = np.stack([part[..., 0] for _, _, part in self._taps(self._pad(x.n))], axis=1)
        taps = taps.reshape(self.groups, 1, -1, self.shape[1] * self.shape[2])

        def products(w: Ints) -> Ints:
            terms = w.reshape(self.groups, -1, taps.shape[2], 1) * taps
            return terms.reshape(self.shape[0], -1, taps.shape[3])

        bias = self.bias_size.at(x.e + self.e).n[:, None, None]
        bias = np.broadcast_to(bias, (self.shape[0], 1, taps.shape[3]))
        m = -np.sort(-np.concatenate([products(w), bias], axis=1), axis=1)
        largest, count = np.cumsum(m, axis=1), np.count_nonzero(m, axis=1)
        mass = largest[:, -1]
        require(float(np.max(mass)) * (steps + 2) < LIMIT, "precision", "the rounding of a sum")
        full = np.minimum(mass, whole.at(x.e + self.e).n.reshape(mass.shape))
        rank = np.arange(1.0, m.shape[1] + 1)[:, None]
        partial = np.minimum(largest, np.ceil((mass + full) / 2)[:, None])
        sums = np.sum(partial * ((rank > 1) & (rank < count[:, None])), axis=1)
        sums += np.where(count > 1, full, 0.0)
        sums += self.extra * (np.sum(products(w * ~self.exact), axis=1) + bias[:, 0])
        later = mass * (steps * steps * 2.0**-24 * (1 + 2.0**-8))
        n = np.ceil((sums + later) * 2.0**-24 * (1 + 2.0**-40))
        return Fix(n.reshape(*self.shape, 1), x.e + self.e)

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Where a weight is a power of two, a product with which does not round."""
        return (self.inexact == 0) & (np.frexp(np.abs(self.w))[0] == 0.5)

    def transposed(self, a: Fix) -> Fix:
        """The transposed core applied to a (O, Ho, Wo, K), within one unit."""
        y = apply_near(self._transpose, int(np.max(self.columns(np.abs(self.w)))), a)
        return Fix(y.n, y.e + self.e)

    def columns(self, w: Ints) -> Ints:
        """Sums of w by input channel (groups, I / groups)."""
        return np.sum(w.reshape(self.groups, -1, *w.shape[1:]), axis=(1, 3, 4))

    def narrowed(self, rows: Rows) -> tuple[Layer, Rows, Rows]:
        """The core on the input channels ``rows`` alone, all others being 0.

        Returns the smaller layer, which of ``rows`` it reads, and the output channels it writes.
        """
        if self.groups == 1:
            out = np.flatnonzero(np.any(self.w[:, rows], axis=(1, 2, 3)))
            take, w, groups = np.arange(len(rows)), self.w[np.ix_(out, rows)], 1
        else:
            require(self.w.shape[1] == 1 and self.groups == len(self.w), "model.operator", "groups")
            take = np.flatnonzero(np.any(self.w[rows], axis=(1, 2, 3)))
            out, w, groups = rows[take], self.w[rows[take]], len(take)
        shape, source = (len(out), *self.shape[1:]), (len(take), *self.source[1:])
        return replace(self, w=w, groups=groups, shape=shape, source=source), take, out

    def _taps(self, x: Ints) -> list[tuple[int, int, Ints]]:
        _, height, width = self.shape
        (sh, sw), kernel = self.strides, self.w.shape[2:]
        return [
            (i, j, x[:, i : i + sh * height : sh, j : j + sw * width : sw][:, :height, :width])
            for i, j in np.ndindex(*kernel)
        ]

    def _pad(self, x: Ints) -> Ints:
        top, left, bottom, right = self.pads
        return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0))) if any(self.pads) else x

    def conv(self, w: Ints, x: Ints) -> Ints:
        """Image of x under weights w in the place of the layer's own, exact below 2^53."""
        out = np.zeros((*self.shape, x.shape[3]))
        for i, j, part in self._taps(self._pad(x)):
            if w[:, :, i, j].any():
                out += self._tap(w[:, :, i, j], part)
        return out

    def _transpose(self, a: Ints) -> Ints:
        top, left, _, _ = self.pads
        channels, height, width = self.source
        grouped = self.w.reshape(self.groups, -1, *self.w.shape[1:])
        w = np.swapaxes(grouped, 1, 2).reshape(channels, -1, *self.w.shape[2:])
        out = self._pad(np.zeros((*self.source, a.shape[3])))
        for i, j, part in self._taps(out):
            part += self._tap(w[:, :, i, j], a)
        return out[:, top : top + height, left : left + width]

    def _tap(self, w: Ints, x: Ints) -> Ints:
        """Image of the channels of x (I, ...) under weights (O, I / groups)."""
        if w.shape == (self.groups, 1):
            return w[:, :, None, None] * x
        y = w.reshape(self.groups, -1, w.shape[1]) @ x.reshape(self.groups, w.shape[1], -1)
        return y.reshape(len(w), *x.shape[1:])


def heaviest_row(w: Ints) -> int:
    """Largest sum of the magnitudes of a row, an upper bound of the gain in the sup-norm."""
    return int(np.max(np.sum(np.abs(w), axis=(1, 2, 3))))


def layer_of(node: Node, source: Shape) -> Layer:
    """The integer form of a linear or affine node."""
    w = node.weights
    assert w is not None
    weight, norm = w.weight.astype(np.float64), w.norm
    terms = int(np.max(np.count_nonzero(weight, axis=(1, 2, 3))))
    # w has 24 significant bits and the scale 28: the product is exact in float64, and off the true
    # one by less than 2^-27 of it, which is below a quarter of a unit; with a scale of 1 it is w
    scale, bias = norm.gamma / norm.root, exact(w.bias)
    mantissa, exponent = np.frexp(scale.astype(np.float64))
    factor = np.ldexp(np.rint(np.ldexp(mantissa, 28)), exponent - 28)
    core, inexact = from_float(weight * factor[:, None, None, None], WEIGHT_BITS)
    same = (exact(factor) == scale) & (norm.extra < 3)
    inexact = np.where(same[:, None, None, None], inexact, weight != 0).astype(np.float64)
    # (bias - mean) scale + beta, rounded down, and the magnitudes in it, rounded up, to 40 bits
    offset = (bias - norm.mean) * scale + norm.beta
    sizes = (abs(bias) + abs(norm.mean)) * abs(scale) + abs(norm.beta)
    e = grid(float(max(sizes)), 40)
    unit = Fraction(2) ** e
    folded = Fix((offset * unit // 1).astype(np.float64), e)
    size = Fix(-(-sizes * unit // 1).astype(np.float64), e)
    heaviest = max(core.largest(), size.largest())
    require(heaviest < Fraction(2) ** 127, "finite.weights", "folded weights overflow", node.name)
    require(terms + norm.extra < 2**15, "rounding.depth", "too many terms", node.name)
    # |w|_1 + |b| + |mean| of every row, times every factor that may follow
    rows = np.sum(np.abs(weight), axis=(1, 2, 3)) + (abs(bias) + abs(norm.mean)).astype(np.float64)
    follows = max(1, 1 / min(abs(norm.root))) * max(1, *abs(norm.gamma))
    reach = math.ceil(float(np.max(rows)) * 1.01 + 1) * math.ceil(follows)
    return Layer(core.n, core.e, inexact, folded, size, norm.extra, terms, reach,
                 w.strides, w.pads, w.groups, node.shape, source)  # fmt: skip
