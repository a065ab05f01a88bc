"""The method `norms`: how far a change grows in the Euclidean norm, node by node.

|x_k|_2 <= size and |x'_k - x_k|_2 <= change for the computed values of every node, in exact
arithmetic, like the certificate's bound but outside of it: lastbit computes it beside the checker's
walk, from the same layers and ranges, and no certificate claims it.

Operator norms of linear nodes are bounded, |A x|_2 <= s |x|_2. 1x1 convolutions and dense layers:
s from a singular value decomposition, a little enlarged, by which A is divided to be shown a
contraction (lastbit_check/refine/together.py). Others: Schur's test, s^2 = product of the largest
absolute row and column sums; for a depthwise layer that is no more than Young's inequality gives.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from lastbit.operators import CURVES, curve_of
from lastbit_check.arithmetic.exact import Fix, Ints
from lastbit_check.derive.derivation import Derivation
from lastbit_check.network import Node, Part
from lastbit_check.operators import KINDS
from lastbit_check.operators.curves import curve_of as known_curve
from lastbit_check.operators.kernels import Products
from lastbit_check.operators.quotients import inverse_of
from lastbit_check.refine.together import BITS, contracts
from lastbit_check.verdict import Rejected

MARGIN = 1 + 2.0**-10
"""The integer factorisation needs room; a singular value is enlarged by this factor."""
FARTHEST = Fraction(2) ** 129
"""No difference of two logits changes by more, because computed values are finite."""


class Norms:
    """Upper bounds of |x_k|_2 (``size``) and of |x'_k - x_k|_2 (``change``), by node."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation, self.question = derivation, derivation.frame.question
        self.size = dict[str, Fraction]()
        self.change = dict[str, Fraction]()
        for node in derivation.frame.network.computed:
            size, change = self._exactly(node)
            loss = norm(derivation.values[node.name].noise)
            self.size[node.name] = rounded(size + loss)
            self.change[node.name] = rounded(change + 2 * loss)

    def bound(self) -> Fraction:
        """Of the change of any difference of two logits."""
        logits = self.derivation.frame.network.logits
        return min(root(Fraction(2)) * self.change[logits], FARTHEST)

    def _exactly(self, node: Node) -> tuple[Fraction, Fraction]:
        """The node's norms without its own rounding."""
        sizes, changes = ([of[name] for name in node.inputs] for of in (self.size, self.change))
        units = math.prod(node.shape)
        match node.op:
            case "input":
                most = self.derivation.values[node.name].magnitude.largest()
                places = self.question.cells(node.shape).shape[1] * self.question.move.cells
                often = root(Fraction(places)) if places > 1 else Fraction(1)
                return most * root(Fraction(units)), often * self.question.distance
            case "max":  # of each unit that is read, no more than so many windows take the change
                taps = self.derivation.frame.settings[node.name].taps
                assert taps is not None
                often = root(Fraction(int(np.max(np.bincount(taps.ravel())))))
                return often * sizes[0], often * changes[0]
            case "sum":
                gains, offset = self._gains(node)
                pairs = [sum((s * v for s, v in zip(gains, of, strict=True)), Fraction(0))
                         for of in (sizes, changes)]  # fmt: skip
                return pairs[0] + offset, pairs[1]
            case name if name in CURVES:
                curve = curve_of(node)
                if curve.local:
                    return norm(self.derivation.values[node.name].magnitude), (
                        self._steepest(node) * changes[0]
                    )
                size = curve.size(sizes[0], root(Fraction(units)))
                return size, curve.steepness() * changes[0]
            case "quotient":  # a gate x s with s = 1 / y, whose change is at most s^2 |D_y|
                x, y = (self.derivation.values[name] for name in node.inputs)
                most = inverse_of(y).magnitude.largest()
                spread = root(Fraction(units)) * x.magnitude.largest() * most**2 * changes[1]
                return most * sizes[0], most * changes[0] + spread
            case _:  # a gate: x's' - xs = s' D_x + x D_s
                values = [self.derivation.values[name] for name in node.inputs]
                reach, factor = (value.magnitude.largest() for value in values)
                # of each factor, no more than so many units are multiplied by it
                shown = [view.order for view in node.views if view and view.order is not None]
                often = max((int(np.max(np.bincount(order))) for order in shown), default=1)
                spread = root(Fraction(max(often, units // node.shape[0]))) * reach * changes[1]
                return factor * sizes[0], factor * changes[0] + spread

    def _steepest(self, node: Node) -> Fraction:
        """The largest slope of a curve anywhere in its range."""
        kind = known_curve(KINDS[node.op], node)
        assert kind is not None
        low, high = kind.slopes(*self.derivation.values[node.inputs[0]].interval)
        return max(low.largest(), high.largest())

    def _gains(self, node: Node) -> tuple[list[Fraction], Fraction]:
        """The norms of a sum's parts, and of what its constants add up to."""
        layer = self.derivation.frame.settings[node.name].layer
        assert layer is not None and node.sum is not None
        pairs = zip(layer.parts, node.sum.parts, strict=True)
        each = [gain(made, part) for made, part in pairs]
        bias = layer.by_unit(layer.bias.n)
        return each, norm(Fix(np.abs(bias) + 1, layer.bias.e))


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


def gain(made: Products, part: Part) -> Fraction:
    """Upper bound of a part's norm in the Euclidean sense, its true weights included."""
    weight, unit = made.heaviest, Fraction(1) / Fraction(2) ** made.e
    rows, columns = weight.gain, weight.T.gain
    schur = rounded(root(Fraction(rows * columns)) * unit)
    if part.weight.shape[2:] != (1, 1) or part.groups != 1 or max(part.pads):
        return schur
    if part.view and part.view.order is not None:
        return schur
    core = made.kernel[:, :, 0, 0]
    s = float(np.linalg.norm(np.ldexp(core, -made.e), 2)) * MARGIN
    try:
        return min(schur, spectral(made, core, s)) if 2.0**-200 < s < 2.0**200 else schur
    except Rejected:
        return schur


def spectral(made: Products, core: Ints, s: float) -> Fraction:
    """The norm ``s`` of a dense layer's core (O, I), and what is left out of it.

    Raises:
        lastbit_check.verdict.Rejected: s is below the norm, or so near that it cannot be shown.
    """
    scaled = np.ldexp(core, BITS - made.e) / s
    contracts(np.rint(scaled if scaled.shape[0] <= scaled.shape[1] else scaled.T))
    count = int(np.sum(made.left_out @ np.ones((made.places.units, 1))))
    rest = root(Fraction(count)) / Fraction(2) ** made.e
    return rounded(Fraction(s) + rest)
