"""What is known of a node's computed values, for all images, and of their change.

For every image and every allowed execution the computed value is, elementwise,

    x = c + A (x_base - c_base) + e,   |e| <= error[..., 0],   |A| radius_base <= spread[..., 0]

with the linear map A of the base node (see columns.py; zero where a node does not depend on it).
For two images that differ in a pixel of group g, |x' - x| <= error[..., 1+g] + spread[..., 1+g].
The last group is no pixel's: it bounds how far a computed value is from the exact one, that of
real arithmetic on the same image.
Independently |x|_2 <= size and |x' - x|_2 <= change, in the Euclidean norm.

Operator norms of linear nodes are certified, |A x|_2 <= s |x|_2. Diagonal over channels (depthwise,
batch norm, scaling): the largest l1 norm of a kernel (Young's inequality). 1x1 convolutions and
dense layers: a claimed s, by which A is divided (spectral.py). Others: Schur's test, s^2 = product
of the largest absolute row and column sums.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lastbit_check.exact import Fix, common, rounded, total
from lastbit_check.layers import Layer, heaviest_row
from lastbit_check.network import Node
from lastbit_check.spectral import BITS, contracts
from lastbit_check.verdict import require

UNIT = Fraction(1, 2**24)  # unit roundoff of binary32
CEILING = Fraction(2) ** 127  # below the overflow threshold of binary32


@dataclass(frozen=True)
class Form:
    """c (C, H, W, 1), error and spread (C, H, W, 1 + groups), and two Euclidean norms."""

    c: Fix
    error: Fix
    spread: Fix
    size: Fraction
    change: Fraction

    @property
    def radius(self) -> Fix:
        """Half widths (C, H, W, 1 + groups): range first, then change by group."""
        return total(self.error, self.spread)

    @property
    def interval(self) -> tuple[Fix, Fix]:
        """Lower and upper bound of the computed value (C, H, W, 1)."""
        r = self.radius[..., :1]
        lower, upper = total(Fix(-self.c.n, self.c.e), r), total(self.c, r)
        return _within(lower, self.size, -1), _within(upper, self.size, 1)

    @property
    def magnitude(self) -> Fix:
        """Upper bound of |x| (C, H, W, 1): box and Euclidean norm, whichever is smaller."""
        lo, hi = self.interval
        e = common(lo, hi)
        return Fix(np.maximum(np.abs(lo.at_down(e).n), np.abs(hi.at(e).n)), e)

    @property
    def moves(self) -> Fix:
        """Upper bound of |x' - x| by group (C, H, W, groups)."""
        return self.radius[..., 1:]


def _within(bound: Fix, size: Fraction, sign: int) -> Fix:
    """sign * min(bound, size): no entry exceeds the Euclidean norm."""
    limit = min(math.ceil(size * Fraction(2) ** bound.e), 2**52)
    return Fix(sign * np.minimum(bound.n, float(limit)), bound.e)


def root(value: Fraction) -> Fraction:
    """An upper bound of the square root, with 64 bits."""
    k = max(0, 128 - value.numerator.bit_length() + value.denominator.bit_length())
    k += k % 2
    return rounded(Fraction(math.isqrt(math.ceil(value * 2**k)) + 1) / 2 ** (k // 2))


def norm(x: Fix) -> Fraction:
    """Upper bound of the Euclidean norm of an array."""
    n = x.abs().fit(20)
    require(n.n.size < 2**22, "precision", "a sum of squares would exceed 2^63")
    squares = int(np.sum(np.square(n.n.astype(np.int64))))
    return root(Fraction(squares)) / Fraction(2) ** n.e


def underflow(gain: Fraction) -> Fix:
    """One unit of a grid that bounds gain * 2^-126: what underflow and flush-to-zero add."""
    value, e = gain * Fraction(1, 2**126), 100
    while value * Fraction(2) ** e > 1:
        e -= 1
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


def gain(layer: Layer, node: Node, claimed: float | None) -> Fraction:
    """Upper bound of the layer's norm in the Euclidean sense, its true weights included."""
    weight = np.abs(layer.w) + layer.inexact
    unit = Fraction(1) / Fraction(2) ** layer.e
    if node.op == "mean":
        return rounded(root(Fraction(1, layer.source[1] * layer.source[2])))
    rows, columns = heaviest_row(weight), int(np.max(layer.columns(weight)))
    if weight.shape[1] == 1 and layer.groups == weight.shape[0]:
        return rounded(rows * unit)
    schur = root(Fraction(rows * columns)) * unit
    if claimed is None or weight.shape[2:] != (1, 1) or layer.groups != 1:
        return rounded(schur)
    require(2.0**-200 < claimed < 2.0**200, "norm.claim", "not a number in reach")
    a = layer.w[:, :, 0, 0]
    rest = root(Fraction(int(np.sum(layer.inexact)))) * unit
    scaled = np.ldexp(a, BITS - layer.e) / claimed
    contracts(np.rint(scaled if a.shape[0] <= a.shape[1] else scaled.T))
    return min(rounded(schur), rounded(Fraction(claimed) + rest))
