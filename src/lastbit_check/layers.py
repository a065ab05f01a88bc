"""A linear node as exact integers: its linear core, what the core leaves out, its rounding.

The core is the nearest integer matrix of 20 bits on a dyadic grid, with a row for each unit and a
column for each unit that the node reads; a product whose weight is not on the grid is marked, and
that weight is within one unit of the core. What follows the sums is folded: the real weight is
w * gamma / root. ``extra`` is as in Norm. ``reach`` is a crude integer bound on the gain of every
intermediate step, for underflow and overflow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lastbit_check.exact import LIMIT, Fix, Ints, apply, common, from_float, grid, heaviest_row
from lastbit_check.network import Node, Shape, Weights, exact
from lastbit_check.verdict import require

WEIGHT_BITS = 20


@dataclass(frozen=True)
class Layer:
    """Integers w (units, units read) with exponent ``e``; arrays are (C, H, W, K).

    ``inexact`` is 1 or 0 for each product that is in ``w``, in its order; biases are (C, 1, 1, 1).
    """

    w: csr_array
    e: int
    inexact: Ints
    bias: Fix  # within one unit of the folded bias
    bias_size: Fix  # upper bound of the magnitudes summed with the products
    extra: int
    terms: int
    reach: int
    shape: Shape
    source: Shape

    def matrix(self, values: Ints) -> csr_array:
        """The matrix with other numbers in the places of its weights."""
        return csr_array((values, self.w.indices, self.w.indptr), self.w.shape)

    @property
    def heavy(self) -> csr_array:
        """Upper bounds of the magnitudes of the true weights."""
        return self.matrix(np.abs(self.w.data) + self.inexact)

    def core(self, x: Fix) -> Fix:
        """Image under the core, within one unit of the result's grid."""
        return self._image(self.w, x, up=False)

    def spread(self, x: Fix) -> Fix:
        """Upper bound of the image of x >= 0 under the absolute values of the true weights."""
        return self._image(self.heavy, x, up=True)

    def left_out(self, x: Fix) -> Fix:
        """Upper bound of |true weights - core| applied to x >= 0."""
        return self._image(self.matrix(self.inexact), x, up=True)

    def _image(self, w: csr_array, x: Fix, *, up: bool) -> Fix:
        y = apply(w, x.reshape(-1, x.n.shape[3]), up=up)
        return Fix(y.n.reshape(*self.shape, -1), y.e + self.e)

    def rounding(self, reach: Fix, whole: Fix) -> Fix:
        """Upper bound of the rounding of one execution (C, H, W, 1) for values |x| <= reach.

        ``whole`` bounds the exact sums. n terms of magnitudes m_1 >= ... >= m_n, in all M, are
        added by some tree. Its i-th largest subtree has at most k = n - i + 1 leaves, so its exact
        sum is at most the k largest m; and at most (M + F) / 2, because what it leaves out of the
        whole, which is F at most, has M less its own magnitudes. Each sum errs by u of its
        subtree's computed sum; a term by ``extra`` u of itself, but a product with a power of two
        is exact. What subtrees have erred by before is at most h u M / (1 - h u) each (Higham,
        Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1).
        """
        heavy, steps = self.heavy, self.terms + 1 + self.extra
        bits = 50 - (steps * max(1, heaviest_row(heavy))).bit_length()
        require(bits >= 8, "rounding.depth", "a sum is too long")
        room = common(self.bias_size, bits=49 - steps.bit_length())  # the bias is a term, too
        x = reach.fit(bits)
        x = x.at(min(x.e, room - self.e))
        values, bias = x.n.ravel(), self.bias_size.at(x.e + self.e).n.ravel()
        bias = np.repeat(bias, heavy.shape[0] // bias.size)
        each = np.diff(heavy.indptr)  # products of a unit
        m = np.zeros((bias.size, np.max(each) + 1))
        m[np.arange(m.shape[1]) < each[:, None]] = heavy.data * values[heavy.indices]
        m[:, -1] = bias
        m = -np.sort(-m, axis=1)
        largest, count = np.cumsum(m, axis=1), np.count_nonzero(m, axis=1)
        mass = largest[:, -1]
        require(float(np.max(mass)) * (steps + 2) < LIMIT, "precision", "the rounding of a sum")
        full = np.minimum(mass, whole.at(x.e + self.e).n.ravel())
        rank = np.arange(1.0, m.shape[1] + 1)
        partial = np.minimum(largest, np.ceil((mass + full) / 2)[:, None])
        sums = np.sum(partial * ((rank > 1) & (rank < count[:, None])), axis=1)
        sums += np.where(count > 1, full, 0.0)
        sums += self.extra * (self.matrix(heavy.data * ~self.exact) @ values + bias)
        later = mass * (steps * steps * 2.0**-24 * (1 + 2.0**-8))
        n = np.ceil((sums + later) * 2.0**-24 * (1 + 2.0**-40))
        return Fix(n.reshape(*self.shape, 1), x.e + self.e)

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Where a weight is a power of two, a product with which does not round."""
        return (self.inexact == 0) & (np.frexp(np.abs(self.w.data))[0] == 0.5)


def products(w: Weights, shape: Shape, source: Shape) -> csr_array:
    """The products of a convolution: for a unit and one that it reads, the weight's number.

    That is its place in the flattened weights, 0 included; weights that are 0 make no products.
    """
    numbers = np.flatnonzero(w.weight)
    out, inner, *tap = np.unravel_index(numbers, w.weight.shape)
    channel = inner + out * w.groups // len(w.weight) * w.weight.shape[1]
    y, x = (at[:, None] + np.arange(count) * step - pad
            for at, count, step, pad in zip(tap, shape[1:], w.strides, w.pads[:2], strict=True)
            )  # fmt: skip
    inside = ((y >= 0) & (y < source[1]))[:, :, None] & ((x >= 0) & (x < source[2]))[:, None]
    read = (channel[:, None, None] * source[1] + y[:, :, None]) * source[2] + x[:, None]
    unit = np.arange(math.prod(shape)).reshape(shape)[out]
    every = np.broadcast_to(numbers[:, None, None], inside.shape)
    places = unit[inside], read[inside]
    return csr_array((every[inside], places), (math.prod(shape), math.prod(source)))


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
    folded, size = (Fix(n.astype(np.float64).reshape(-1, 1, 1, 1), e)
                    for n in (offset * unit // 1, -(-sizes * unit // 1)))  # fmt: skip
    heaviest = max(core.largest(), size.largest())
    require(heaviest < Fraction(2) ** 127, "finite.weights", "folded weights overflow", node.name)
    require(terms + norm.extra < 2**15, "rounding.depth", "too many terms", node.name)
    # |w|_1 + |b| + |mean| of every row, times every factor that may follow
    rows = np.sum(np.abs(weight), axis=(1, 2, 3)) + (abs(bias) + abs(norm.mean)).astype(np.float64)
    follows = max(1, 1 / min(abs(norm.root))) * max(1, *abs(norm.gamma))
    reach = math.ceil(float(np.max(rows)) * 1.01 + 1) * math.ceil(follows)
    made = products(w, node.shape, source)
    inexact, made.data = inexact.ravel()[made.data], core.n.ravel()[made.data]
    return Layer(made, core.e, inexact, folded, size, norm.extra, terms, reach, node.shape, source)
