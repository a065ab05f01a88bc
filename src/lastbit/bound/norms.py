"""The method `norms`: how far a change grows in the Euclidean norm, node by node.

|x_k|_2 <= size and |x'_k - x_k|_2 <= change for the computed values of every node, in exact
arithmetic, like the certificate's bound but outside of it: lastbit computes it beside the checker's
walk, from the same layers and ranges, and no certificate claims it.

Operator norms of linear nodes are bounded, |A x|_2 <= s |x|_2. 1x1 convolutions and dense layers:
s from a singular value decomposition, a little enlarged, by which A is divided to be shown a
contraction (lastbit_check/together.py). Others: Schur's test, s^2 = product of the largest absolute
row and column sums; for a depthwise layer that is no more than Young's inequality gives.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from lastbit_check.exact import Fix, Ints, heaviest_row
from lastbit_check.forward import Form
from lastbit_check.layers import Layer
from lastbit_check.network import Node, Weights
from lastbit_check.together import BITS, contracts
from lastbit_check.verdict import Rejected

MARGIN = 1 + 2.0**-10
"""The integer factorisation needs room; a singular value is enlarged by this factor."""
STEEPEST = Fraction(109984, 100000)
"""No slope of silu is steeper; none of the sigmoid is steeper than 1/4."""
FARTHEST = Fraction(2) ** 129
"""No difference of two logits changes by more, because computed values are finite."""


class Norms:
    """Upper bounds of |x_k|_2 (``size``) and of |x'_k - x_k|_2 (``change``), by node."""

    def __init__(self) -> None:
        self.size = dict[str, Fraction]()
        self.change = dict[str, Fraction]()

    def visit(self, node: Node, layer: Layer | None, sources: list[Form], noise: Fix) -> None:
        """One more node: what it reads, and the rounding of one execution."""
        size, change = self._exactly(node, layer, sources)
        loss = norm(noise)
        self.size[node.name] = rounded(size + loss)
        self.change[node.name] = rounded(change + 2 * loss)

    def bound(self, logits: str) -> Fraction:
        """Of the change of any difference of two logits."""
        return min(root(Fraction(2)) * self.change[logits], FARTHEST)

    def _exactly(
        self, node: Node, layer: Layer | None, sources: list[Form]
    ) -> tuple[Fraction, Fraction]:
        """The node's norms without its own rounding."""
        sizes, changes = ([of[name] for name in node.inputs] for of in (self.size, self.change))
        units = math.prod(node.shape)
        if layer:
            pixels = root(Fraction(node.shape[1] * node.shape[2]))
            offset = norm(Fix(np.abs(layer.bias.n) + 1, layer.bias.e)) * pixels
            assert node.weights is not None
            s = gain(layer, node.weights)
            return s * sizes[0] + offset, s * changes[0]
        match node.op:
            case "input":
                return 255 * root(Fraction(units)), Fraction(1)
            case "add":
                return sum(sizes, Fraction(0)), sum(changes, Fraction(0))
            case "silu":
                return sizes[0], STEEPEST * changes[0]
            case "sigmoid":
                return root(Fraction(units)), changes[0] / 4
            case _:  # a gate: x's' - xs = s' D_x + x D_s
                reach, factor = (form.magnitude.largest() for form in sources)
                spread = root(Fraction(units, node.shape[0])) * reach * changes[1]
                return factor * sizes[0], factor * changes[0] + spread


def rounded(x: Fraction) -> Fraction:
    """x >= 0 rounded up to 64 significant bits, so that fractions stay short."""
    e = 64 - x.numerator.bit_length() + x.denominator.bit_length()
    return Fraction(math.ceil(x * Fraction(2) ** e)) / Fraction(2) ** e


def root(value: Fraction) -> Fraction:
    """An upper bound of the square root, with 64 bits."""
    k = max(0, 128 - value.numerator.bit_length() + value.denominator.bit_length())
    k += k % 2
    return rounded(Fraction(math.isqrt(math.ceil(value * 2**k)) + 1) / 2 ** (k // 2))


def norm(x: Fix) -> Fraction:
    """Upper bound of the Euclidean norm of an array."""
    n = x.abs().fit(19)  # a node has less than 2^24 units: the sum of squares is below 2^62
    squares = int(np.sum(np.square(n.n.astype(np.int64))))
    return root(Fraction(squares)) / Fraction(2) ** n.e


def gain(layer: Layer, weights: Weights) -> Fraction:
    """Upper bound of the layer's norm in the Euclidean sense, its true weights included."""
    weight, unit = layer.heavy, Fraction(1) / Fraction(2) ** layer.e
    rows, columns = heaviest_row(weight), heaviest_row(weight.T)
    schur = rounded(root(Fraction(rows * columns)) * unit)
    if weights.weight.shape[2:] != (1, 1) or weights.groups != 1 or max(weights.pads):
        return schur
    pixels = math.prod(layer.shape[1:]), math.prod(layer.source[1:])
    core = layer.w[:: pixels[0], :: pixels[1]].toarray()
    s = float(np.linalg.norm(np.ldexp(core, -layer.e), 2)) * MARGIN
    try:
        return min(schur, spectral(layer, core, s)) if 2.0**-200 < s < 2.0**200 else schur
    except Rejected:
        return schur


def spectral(layer: Layer, core: Ints, s: float) -> Fraction:
    """The norm ``s`` of a dense layer's core (O, I), and what is left out of it.

    Raises:
        lastbit_check.verdict.Rejected: s is below the norm, or so near that it cannot be shown.
    """
    scaled = np.ldexp(core, BITS - layer.e) / s
    contracts(np.rint(scaled if scaled.shape[0] <= scaled.shape[1] else scaled.T))
    rest = root(Fraction(int(np.sum(layer.inexact)))) / Fraction(2) ** layer.e
    return rounded(Fraction(s) + rest)
