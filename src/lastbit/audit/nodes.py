"""Every value of an execution against the definition, image by image and unit by unit.

A node's value is held against the node's function of the values that the *same execution*
computed before it, and may differ by what one execution may round for operands of *these*
magnitudes (docs/bound.md, section 2):

    sum       `lastbit.audit.sums`: all that was joined to it, by any tree, factors anywhere.
    curves    what is assumed of them at this argument; the true value by `lastbit.audit.reference`.
    gate      u|x s| for each rounding; evaluated by one float64 operation: 2^-53 of the result.
    softmax   what is proved of it; a difference below 745 rounded once, exp, a sum, a quotient:
              2^-40 of the result.

What evaluating in float64 may be off counts against the execution. Besides, every value has to be
in the range that is proved of it for all images.

An execution that fuses nodes hides the values between. A hidden value is allowed its own rounding,
and what the nodes make of the roundings of hidden values before it; the first visible value after
them is held against the sum of all that. Nothing is missed by this that an allowed execution could
not have done, but a share says less there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from lastbit.audit.assumptions import allowed_of
from lastbit.audit.exact import ExactNodes, columns, least_divisor, operands, spread
from lastbit.audit.sums import TINY, UP, Float64Array, Known, real
from lastbit.graph import ByteArray
from lastbit.operators import CURVES
from lastbit.runtimes.runtime import Values
from lastbit_check.arithmetic.binary32 import UNIT
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.derive.derivation import Derivation
from lastbit_check.network import Node, growth
from lastbit_check.operators.forms import Bound, Value, nothing
from lastbit_check.operators.products import gate_roundings


class Unit(NamedTuple):
    """One value of a node: image, channel, row, column."""

    image: int
    channel: int
    row: int
    column: int


@dataclass(frozen=True)
class Finding:
    """One node over some images.

    Attributes:
        share: largest error as a share of what is allowed there, never rounded down.
        at: the unit where it is.
        outside: number of values that are not in their interval.
        values: number of values that were held against it.
    """

    share: float
    at: Unit
    outside: int
    values: int

    def joined(self, other: Finding) -> Finding:
        """Both together; the images of ``other`` are counted on."""
        worst = self if self.share >= other.share else other
        outside, values = self.outside + other.outside, self.values + other.values
        return Finding(worst.share, worst.at, outside, values)

    @property
    def holds(self) -> bool:
        """Whether no value is outside of anything; false for NaN."""
        return self.share <= 1 and not self.outside


class NetworkJudge:
    """The definition of an execution, and the ranges that are proved, for one network.

    Args:
        derivation: of any question, from any hints: its layers and its ranges are used.
    """

    def __init__(self, derivation: Derivation) -> None:
        frame = derivation.frame
        self.network = frame.network
        self.nodes = ExactNodes(frame)
        # rounded down by more than float() and the comparison in float64 can add
        self.softmax = float(softmax_error(self.network.classes)) * (2 - UP)
        self.ranges = {
            name: (_flat(value.interval[0]), _flat(value.interval[1]))
            for name, value in derivation.values.items()
        }

    def findings(self, images: ByteArray, values: Values) -> dict[str, Finding]:
        """The visible nodes of an execution on images (N, C, H, W), in the network's order.

        Raises:
            ValueError: the values of a node are not (N, C, H, W), or the output is hidden.
        """
        first, *nodes = self.network.nodes
        if nodes[-1].name not in values:
            raise ValueError("an execution must show the output")
        known = {first.name: Known(columns(images))}
        found: dict[str, Finding] = {}
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            for node in nodes:
                xs = operands(node, known)
                exact = self.nodes.exact(node, xs)
                if node.name not in values:
                    own = self._allowed(node, xs, exact, range(len(images)))
                    allowance = (exact.allowance + own) * UP
                    known[node.name] = Known(exact.value, exact.error, allowance)
                    continue
                seen = values[node.name]
                if seen.shape != (len(images), *node.shape):
                    raise ValueError(f"{node.name} has the shape {seen.shape}")
                known[node.name] = Known(columns(seen))
                found[node.name] = self._finding(node, known[node.name].value, xs, exact)
        return found

    def _allowed(
        self, node: Node, xs: list[Known], exact: Known, images: range | list[int]
    ) -> Float64Array:
        """What one execution may be off, by the definition (units, images)."""
        x = xs[0]
        match node.op:
            case "sum":
                whole = (np.abs(exact.value) + exact.off) * UP
                made = self.nodes.sums[node.name]
                return np.stack([made.allowed(xs, whole, k) for k in images], axis=1)
            case name if name in CURVES:
                off = np.broadcast_to(x.off, x.value.shape)[:, images]
                return allowed_of(node, x.value[:, images], off)
            case "max":
                return np.full((exact.value.shape[0], len(images)), TINY)
            case "gate":
                s = xs[1].reach
                weight, _ = gate_roundings(node, Fraction(1), _value(1.0))
                top = Fraction(float(x.reach.max())) * growth(node.trailing)
                _, lost = gate_roundings(node, top, _value(float(s.max())))
                size = x.reach * spread(node, s)
                bound = size * float(real(weight)[0]) * (2 - UP) + float(real(lost))
                return bound[:, images]
            case "quotient":
                wide = Known(*(spread(node, v) for v in (xs[1].value, xs[1].off)))
                weight, _ = gate_roundings(node, Fraction(1), _value(1.0))
                inverse = 1.0 / least_divisor(wide)
                top = Fraction(float(x.reach.max())) * growth(node.trailing)
                _, lost = gate_roundings(node, top, _value(float(inverse.max())))
                count = float(real(weight)[0]) + float(UNIT)  # the reciprocal may be rounded
                bound = x.reach * inverse * count * (2 - UP) + float(real(lost))
                return bound[:, images]
            case _:
                return np.full((x.value.shape[0], len(images)), self.softmax)

    def _finding(self, node: Node, seen: Float64Array, xs: list[Known], exact: Known) -> Finding:
        """The largest share, which a cheap lower bound of what is allowed spares most images."""
        error = (np.abs(seen - exact.value) + exact.error) * UP
        error = np.where(np.isnan(error), np.inf, error)
        outside = self._outside(node, seen)
        if not np.all(np.isfinite(error)):
            return Finding(np.inf, _unit(node, int(error.argmax()), seen.shape), outside, seen.size)
        images = range(seen.shape[1])
        if node.op == "sum":
            least = self.nodes.sums[node.name].least(xs, (np.abs(exact.value) + exact.off) * UP)
            above = np.max(error / np.maximum(least + exact.allowance, 2.0**-149), axis=0)
        else:
            above = np.full(len(images), np.inf)
        share, at = -1.0, Unit(0, 0, 0, 0)
        for chosen in _worst_first(above, some=node.op == "sum"):
            if above[chosen[0]] <= share:
                break
            allowed = self._allowed(node, xs, exact, chosen)
            off = np.broadcast_to(exact.allowance, seen.shape)[:, chosen]
            shares = error[:, chosen] / (allowed + off)
            shares = np.where(np.isnan(shares), np.inf, shares)
            k = int(shares.argmax())
            if shares.flat[k] > share:
                share, at = float(shares.flat[k]), _unit(node, k, shares.shape)
                at = at._replace(image=chosen[at.image])
        return Finding(share, at, outside, seen.size)

    def _outside(self, node: Node, seen: Float64Array) -> int:
        """How many values are not in the range of all images; a probability is in [0, 1]."""
        low, high = self.ranges.get(node.name, (np.zeros(1), np.ones(1)))
        return int(np.count_nonzero(~((low <= seen) & (seen <= high))))


def _unit(node: Node, place: int, shape: tuple[int, ...]) -> Unit:
    """Where a place in an array (units, images) is."""
    unit, image = divmod(place, shape[1])
    return Unit(image, *(int(k) for k in np.unravel_index(unit, node.shape)))


def _worst_first(above: Float64Array, *, some: bool) -> list[list[int]]:
    """Images one by one, from the largest share that they may have; or all at once."""
    order = np.argsort(-above, kind="stable").tolist()
    return [[k] for k in order] if some else [order]


def _value(number: float) -> Value:
    """What is known of a number >= 0, rounded up to 20 bits."""
    mantissa, exponent = math.frexp(number)
    c = Fix(np.array([float(math.ceil(mantissa * 2**20))]), 20 - exponent)
    return Value(c, Bound(nothing(c), nothing(c)), nothing(c))


def _flat(x: Fix) -> Float64Array:
    return real(x).reshape(-1, 1)
