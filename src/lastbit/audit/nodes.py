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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lastbit.audit.assumptions import allowed_anywhere
from lastbit.audit.reference import FunctionName, reference
from lastbit.audit.sums import ROUND, TINY, UP, Float64Array, Known, SumInFloat64, real
from lastbit.graph import ByteArray
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.derive.derivation import Derivation
from lastbit_check.network import Node
from lastbit_check.operators.products import gate_roundings

Values = Mapping[str, NDArray[np.floating]]
"""The values (N, C, H, W) of the nodes that can be seen, by name."""

_SLOPE = {"silu": 1.1, "sigmoid": 0.25}
_CURVES: dict[str, FunctionName] = {"silu": "silu", "sigmoid": "sigmoid"}


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
        by_name = self.network.by_name
        self.sums = {
            name: SumInFloat64(setting, [by_name[source] for source in setting.node.inputs])
            for name, setting in frame.settings.items()
            if setting.layer is not None
        }
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
        known = {first.name: Known(_columns(images))}
        found: dict[str, Finding] = {}
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            for node in nodes:
                xs = [known[name] for name in node.inputs]
                exact = self.exact(node, xs)
                if node.name not in values:
                    own = self._allowed(node, xs, exact, range(len(images)))
                    allowance = (exact.allowance + own) * UP
                    known[node.name] = Known(exact.value, exact.error, allowance)
                    continue
                seen = values[node.name]
                if seen.shape != (len(images), *node.shape):
                    raise ValueError(f"{node.name} has the shape {seen.shape}")
                known[node.name] = Known(_columns(seen))
                found[node.name] = self._finding(node, known[node.name].value, xs, exact)
        return found

    def exact(self, node: Node, xs: list[Known]) -> Known:
        """The node's exact function of what it reads."""
        x = xs[0]
        match node.op:
            case "sum":
                return self.sums[node.name](xs)
            case "silu" | "sigmoid":
                true = reference(_CURVES[node.op], x.value)
                slope = _SLOPE[node.op]
                return Known(true.value, true.error + slope * x.error, slope * x.allowance)
            case "gate":
                return _product(node, x, xs[1])
            case _:
                powers = np.exp(x.value - x.value.max(axis=0))
                value = powers / powers.sum(axis=0)
                # tanh(R / 4) <= R / 4 for differences of logits that are off by R = 2 max |error|
                error, allowance = (
                    np.max(np.abs(np.broadcast_to(v, x.value.shape)), axis=0) / 2
                    for v in (x.error, x.allowance)
                )
                return Known(value, (value * 2.0**-40 + error) * UP + TINY, allowance)

    def _allowed(
        self, node: Node, xs: list[Known], exact: Known, images: range | list[int]
    ) -> Float64Array:
        """What one execution may be off, by the definition (units, images)."""
        x = xs[0]
        match node.op:
            case "sum":
                whole = (np.abs(exact.value) + exact.off) * UP
                made = self.sums[node.name]
                return np.stack([made.allowed(xs, whole, k) for k in images], axis=1)
            case "silu" | "sigmoid":
                z, off = x.value[:, images], np.broadcast_to(x.off, x.value.shape)[:, images]
                return allowed_anywhere(_CURVES[node.op], np.abs(z) + off)
            case "gate":
                s = xs[1].reach
                weight, _ = gate_roundings(node, _one(1.0), _one(1.0))
                _, lost = gate_roundings(node, _one(x.reach.max()), _one(s.max()))
                size = x.reach * _spread(node, s)
                bound = size * float(real(weight)[0]) * (2 - UP) + float(real(lost))
                return bound[:, images]
            case _:
                return np.full((x.value.shape[0], len(images)), self.softmax)

    def _finding(
        self, node: Node, seen: Float64Array, xs: list[Known], exact: Known
    ) -> Finding:
        """The largest share, which a cheap lower bound of what is allowed spares most images."""
        error = (np.abs(seen - exact.value) + exact.error) * UP
        error = np.where(np.isnan(error), np.inf, error)
        images = range(seen.shape[1])
        if node.op == "sum":
            least = self.sums[node.name].least(xs, (np.abs(exact.value) + exact.off) * UP)
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
            unit, k = np.unravel_index(int(shares.argmax()), shares.shape)
            if shares[unit, k] > share:
                c, row, column = np.unravel_index(int(unit), node.shape)
                share = float(shares[unit, k])
                at = Unit(chosen[int(k)], int(c), int(row), int(column))
        outside = 0
        if node.name in self.ranges:
            low, high = self.ranges[node.name]
            outside = int(np.count_nonzero(~((low <= seen) & (seen <= high))))
        return Finding(share, at, outside, seen.size)


def _worst_first(above: Float64Array, *, some: bool) -> list[list[int]]:
    """Images one by one, from the largest share that they may have; or all at once."""
    order = np.argsort(-above, kind="stable").tolist()
    return [[k] for k in order] if some else [order]


def _product(node: Node, x: Known, s: Known) -> Known:
    spread = Known(*(_spread(node, v) for v in (s.value, s.error, s.allowance)))
    value = x.value * spread.value
    error = np.abs(x.value) * spread.error + (np.abs(spread.value) + spread.off) * x.error
    allowance = (
        np.abs(x.value) * spread.allowance + (np.abs(spread.value) + spread.off) * x.allowance
    )
    return Known(value, (np.abs(value) * ROUND + error) * UP + TINY, allowance)


def _spread(node: Node, s: Float64Array | float) -> Float64Array:
    """One number a channel (C, N), at every place (units, N)."""
    wide = np.broadcast_to(s, (node.shape[0], np.shape(s)[-1] if np.ndim(s) else 1))
    return np.repeat(wide, math.prod(node.shape[1:]), axis=0)


def _one(number: float) -> Fix:
    """A number >= 0 from above, to 20 bits."""
    mantissa, exponent = math.frexp(number)
    return Fix(np.array([float(math.ceil(mantissa * 2**20))]), 20 - exponent)


def _columns(values: NDArray[np.generic]) -> Float64Array:
    """(N, C, H, W) to (units, N) in float64, exactly."""
    return np.ascontiguousarray(values.reshape(len(values), -1).T, dtype=np.float64)


def _flat(x: Fix) -> Float64Array:
    return real(x).reshape(-1, 1)
