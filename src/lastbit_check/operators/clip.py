"""Clip: min(max(z, low), high) with constants, which does not round.

Map: clip; argued in docs/bound.md 2
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints
from lastbit_check.files.operators import F, Form, finite
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator, Tensor
from lastbit_check.operators.curves import CurveKind, Family, on_grid
from lastbit_check.operators.reading import Reader, Rule, made
from lastbit_check.verdict import require

HUGE = 2.0**120
LARGEST = float(np.finfo(np.float32).max)


def clip(reader: Reader, o: Operator, x: Node) -> Node:
    """The number between two bounds that is closest."""
    low, high = bounds = bounds_of(reader, o)
    right = low < HUGE and high > -HUGE
    require(right, "model.operator", f"between {low} and {high}")
    return made(o, "clip", x, parameters=tuple(np.full(x.shape[0], b, np.float32) for b in bounds))


def clipped(reader: Reader, o: Operator) -> Tensor:
    """The same of constants."""
    return np.asarray(np.clip(reader.floats(o.inputs[0]), *bounds_of(reader, o)), "<f4")


def bounds_of(reader: Reader, o: Operator) -> tuple[float, float]:
    """Bounds that are not given are the largest number and its opposite."""
    bounds, wide = list[float](), {"min": -LARGEST, "max": LARGEST}
    for name, (end, otherwise) in zip((*o.inputs[1:], "", "")[:2], wide.items(), strict=True):
        said = np.array(o.attribute(end, otherwise), np.float32)
        given = reader.floats(name) if name else said
        require(given.shape in ((), (1,)), "model.shape", f"a bound of shape {given.shape}")
        bounds.append(float(given.reshape(-1)[0]))
    low, high = bounds
    require(low <= high, "model.operator", f"between {low} and {high}")
    return low, high


def curve(node: Node) -> CurveKind:
    """The curve with the bounds of a node."""
    low, high = (float(v[0]) for v in node.parameters)

    def values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        least, most = (np.clip(np.ldexp(z.n, -z.e), low, high) for z in (lo, hi))
        return on_grid(least, lo.e, up=False), on_grid(most, hi.e, up=True)

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        """1 between the bounds, 0 beyond them, and anything between of two that differ in that."""
        least, most = np.ldexp(lo.n, -lo.e), np.ldexp(hi.n, -hi.e)
        inside = (least >= low) & (most <= high) & (low < high)
        somewhere = (least < high) & (most > low)
        return Fix(inside.astype(np.float64), 0), Fix((inside | somewhere).astype(np.float64), 0)

    at_zero = exactly(min(max(0.0, low), high))
    return CurveKind(values, slopes, Fraction(0), grows=False, at_zero=at_zero, turn=None)


def exactly(x: float) -> Fix:
    """A number of binary32."""
    if x == 0:
        return Fix(np.zeros(1), ZERO_GRID)
    n, e = Fraction(x), 0
    while n.denominator > 1:
        n, e = 2 * n, e + 1
    while n.numerator % 2 == 0:
        n, e = n / 2, e - 1
    found: Ints = np.array([float(n)])
    return Fix(found, e)


RULES = {"Clip": Rule({0: clipped, 1: clip}, (1, 2, 3), by_number=True)}
FORMS = {
    "Clip": {
        7: Form((F,), 1, {"min": finite, "max": finite}),
        11: Form((F, F, F), 1, optional=True),
    }
}
KINDS = {"clip": Family(curve)}
