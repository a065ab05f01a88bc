"""Elu, Selu and Celu: g z where z >= 0, and g a (exp(z / d) - 1) where z < 0.

Elu has g = d = 1, Selu d = 1, Celu g = 1 and d = a. What is assumed: |computed - exact| <= 4u |g a|
where z < 0. Largest errors seen, by |g a|: 1.11u (ONNX Runtime), 1.21u (PyTorch), 1.41u (PyTorch
compiled), 2.09u (XLA). Where z >= 0 it is z, or a product with g, which one constant more may be
folded into: 2u |g z|.

XLA folds 1 / d into the last factors of z: with k roundings of these, z / d is another (2 k + 2)u
of itself off (k + 2 where a mean may be read), and g a exp(z / d) |z / d| <= |g a| / e times that.

Map: elu; argued in docs/bound.md 2
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.enclosure import END, Tabulated, enclosed, exp_bounds
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints
from lastbit_check.files.operators import F, Form, finite
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.curves import CurveKind, Family, on_grid
from lastbit_check.operators.reading import Reader, Rule, made, roundings_before
from lastbit_check.verdict import require

ERROR = Fraction(4)
HUGE, FINEST, STEEPEST = Fraction(2) ** 100, 2.0**-10, 2.0**10
ALPHA, GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def elu(_: Reader, o: Operator, x: Node) -> Node:
    """With a = 1 if nothing else is said."""
    return _made(o, x, o.attribute("alpha", 1.0), 1.0, 1.0)


def selu(_: Reader, o: Operator, x: Node) -> Node:
    """The one that keeps mean and variance, if nothing else is said."""
    return _made(o, x, o.attribute("alpha", ALPHA), o.attribute("gamma", GAMMA), 1.0)


def celu(_: Reader, o: Operator, x: Node) -> Node:
    """Without a corner at 0, whatever a."""
    alpha = o.attribute("alpha", 1.0)
    return _made(o, x, alpha, 1.0, alpha)


def _made(o: Operator, x: Node, *parts: float) -> Node:
    """Parameters: a, g, d, and the roundings that may be folded into z / d."""
    alpha, gamma, divisor = (float(np.float32(v)) for v in parts)
    right = not alpha or FINEST <= abs(alpha) <= STEEPEST
    right = right and all(FINEST <= v <= STEEPEST for v in (gamma, divisor))
    require(right, "model.operator", f"with alpha {alpha} and gamma {gamma}")
    each = (np.full(x.shape[0], v, np.float32) for v in (alpha, gamma, divisor))
    folded = (2 * roundings_before(x) + 2) * (divisor != 1)
    return made(o, "elu", x, parameters=(*each, folded.astype(np.float32)))


def curve(node: Node) -> CurveKind:
    """The curve with the constants of a node."""
    alpha, gamma, divisor = (Fraction(float(v[0])) for v in node.parameters[:3])
    low, g, d = float(alpha * gamma), float(gamma), float(divisor)
    steep = float(alpha * gamma / divisor)
    folded = float(np.max(node.parameters[3]))

    def inside(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        """z / d."""
        ends = (_outwards(np.ldexp(z.n, -z.e) / d, up=up) for z, up in ((lo, False), (hi, True)))
        least, most = ends
        return on_grid(least, 40, up=False), on_grid(most, 40, up=True)

    def both(table: Tabulated, by: float, right: tuple[Ints, Ints], lo: Fix, hi: Fix
             ) -> tuple[Fix, Fix]:  # fmt: skip
        """What is between multiples of a table's numbers where z < 0, and others where z > 0."""
        ends = [np.ldexp(v.n, -v.e) * by for v in enclosed(table, *inside(lo, hi))]
        left, beyond = lo.n < 0, (hi.n > 0) | (lo.n >= 0)
        least = np.minimum(np.where(left, np.minimum(*ends), np.inf),
                           np.where(beyond, right[0], np.inf))  # fmt: skip
        most = np.maximum(np.where(left, np.maximum(*ends), -np.inf),
                          np.where(beyond, right[1], -np.inf))  # fmt: skip
        return on_grid(_outwards(least, up=False), 40, up=False), on_grid(
            _outwards(most, up=True), 40, up=True
        )

    def values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        least, most = (g * np.maximum(np.ldexp(z.n, -z.e), 0.0) for z in (lo, hi))
        return both(LESS_ONE, low, (least, most), lo, hi)

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        return both(POWER, steep, (np.full_like(lo.n, g), np.full_like(hi.n, g)), lo, hi)

    size, grown = abs(alpha * gamma), max(Fraction(1), gamma)
    return CurveKind(
        values,
        slopes,
        Fraction(math.ceil(size * (ERROR + math.ceil(folded * 0.4)) * 16), 16),
        grows=False,
        at_zero=Fix(np.zeros(1), ZERO_GRID),
        turn=None,
        also=Fraction(math.ceil(32 * gamma), 16) if gamma != 1 else Fraction(0),
        most=HUGE,
        gain=4 * grown * max(Fraction(1), size / divisor),
    )


def _outwards(x: Ints, *, up: bool) -> Ints:
    """Beyond what a few roundings in float64 may be off: here 2^-49 relatively."""
    off = np.abs(x) * 2.0**-49
    return x + off if up else x - off


def _power(z: Fraction) -> tuple[Fraction, Fraction]:
    """Of z, or of 0 where that is less."""
    return exp_bounds(z) if z < 0 else (Fraction(1), Fraction(1))


def _less_one(z: Fraction) -> tuple[Fraction, Fraction]:
    low, high = _power(z)
    return low - 1, high - 1


POWER = Tabulated.exactly(_power, ((-END, -END, 0.0),), near=(1.0, 1.0))
LESS_ONE = Tabulated.exactly(_less_one, ((-END, -END, -1.0),), near=(0.0, 1.0))
A = {"alpha": finite}
RULES = {
    "Celu": Rule({1: celu}, by_number=True),
    "Elu": Rule({1: elu}, by_number=True),
    "Selu": Rule({1: selu}, by_number=True),
}
FORMS = {
    "Celu": {12: Form((F,), 1, A)},
    "Elu": {7: Form((F,), 1, A)},
    "Selu": {7: Form((F,), 1, {**A, "gamma": finite})},
}
KINDS = {"elu": Family(curve, ("elu-absolute-4u|ga|",))}
