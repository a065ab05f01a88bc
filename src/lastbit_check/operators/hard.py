"""HardSigmoid and HardSwish: curves of straight and of quadratic pieces, with kinks at -3 and 3.

    hardsigmoid(z) = clamp((z + 3) / 6, 0, 1),    hardswish(z) = z hardsigmoid(z).

What is assumed: |computed hardsigmoid(z) - hardsigmoid(z)| <= 4u, |computed hardswish(z) -
hardswish(z)| <= 6u|z| + 2^-126. Runtimes compute clamp(a z + 1/2) with the binary32 number a next
to 1/6, u/2 off (1.75u), or clamp(z + 3, 0, 6) / 6, by a division (2u) or by the reciprocal (3u);
HardSwish multiplies with z, before that division or after it (u more). Near 0 no less is assumed.
Before the division z may have been multiplied by 6.

XLA folds the 3 with constants that were added last: s + (b + 3), where z = s + b is rounded by
itself. With k constants whose magnitudes are B together, and |z| <= 3, what is clamped is another
3u + k u (B + 3) off, and the sigmoid a sixth of that; u is left of what is assumed.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

import numpy as np

from lastbit_check.arithmetic.enclosure import STEP, Tabulated, enclosed
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.files.operators import UNARY, F, Form, finite
from lastbit_check.network import F32, Node, exact, made_of
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.reading import Reader, Rule, made
from lastbit_check.verdict import require

SIXTH = float(np.float32(1) / np.float32(6))
KINK = 3 * STEP  # where the tables have it
MOST = Fraction(2) ** 120


def hard_sigmoid(_: Reader, o: Operator, x: Node) -> Node:
    """The one that HardSwish is made of."""
    alpha, beta = o.attribute("alpha", float(np.float32(0.2))), o.attribute("beta", 0.5)
    right = (alpha, beta) == (SIXTH, 0.5)
    require(right, "model.operator", f"with alpha {alpha} and beta {beta}, not 1/6 and 1/2")
    return made(o, "hardsigmoid", x, parameters=(_folded(x),))


def hard_swish(_: Reader, o: Operator, x: Node) -> Node:
    """A number times the hard sigmoid of it."""
    return made(o, "hardswish", x, parameters=(_folded(x),))


def _folded(x: Node) -> F32:
    """What folding the constants that were added last costs, in units of u (C,)."""
    constants = x.sum.constants if x.sum else ()
    channels, found = x.shape[0], exact(np.zeros(x.shape[0], np.float32))
    for constant in constants:
        found = found + abs(made_of(constant, x.shape)).reshape(channels, -1).max(axis=1)
    each = (math.ceil((len(constants) * (most + 3) + 3) / 6) - 1 for most in found)
    units = [max(0, n) if constants else 0 for n in each]
    require(max(units) < 2**20, "model.operator", "behind constants that are too large")
    return np.array(units, np.float32)


def _sigmoid(z: Fraction) -> tuple[Fraction, Fraction]:
    y = min(max((z + 3) / 6, Fraction(0)), Fraction(1))
    return y, y


def _swish(z: Fraction) -> tuple[Fraction, Fraction]:
    y = z * _sigmoid(z)[0]
    return y, y


def _swish_slopes(z: Fraction) -> tuple[Fraction, Fraction]:
    """On the left and on the right."""
    inside, outside = (2 * z + 3) / 6, Fraction(int(z > 0))
    return inside if -3 < z <= 3 else outside, inside if -3 <= z < 3 else outside


def _sigmoid_slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """1/6 between the kinks, 0 beyond them, and anything between of two that differ in that."""
    low, high = np.ldexp(lo.n, -lo.e), np.ldexp(hi.n, -hi.e)
    always, somewhere = (low >= -3) & (high <= 3), (low <= 3) & (high >= -3)
    unit = 2.0**24
    least = np.where(always, np.floor(unit / 6), 0.0)
    return Fix(least, 24), Fix(np.where(somewhere, np.ceil(unit / 6), 0.0), 24)


SIGMOID = Tabulated.exactly(_sigmoid, (), near=(0.5, 0.25))
SWISH = Tabulated.exactly(
    _swish, ((-KINK // 2, -KINK // 2, -0.375), (24 * STEP, 24 * STEP, np.inf)), near=(0.0, 1.0)
)
SWISH_SLOPES = Tabulated.exactly(
    _swish_slopes, ((-KINK, -KINK, -0.5), (KINK, KINK, 1.5)), near=(0.5, 0.375)
)

RULES = {
    "HardSigmoid": Rule({1: hard_sigmoid}, by_number=True),
    "HardSwish": Rule({1: hard_swish}, by_number=True),
}
FORMS = {
    "HardSigmoid": {7: Form((F,), 1, {"alpha": finite, "beta": finite})},
    "HardSwish": {14: UNARY},
}
KINDS = {
    "hardsigmoid": CurveKind(
        partial(enclosed, SIGMOID),
        _sigmoid_slopes,
        Fraction(4),
        grows=False,
        at_zero=Fix(np.array([2.0**39]), 40),
        turn=None,
        assumed=("hardsigmoid-absolute-4u",),
        folds=True,
    ),
    "hardswish": CurveKind(
        partial(enclosed, SWISH),
        partial(enclosed, SWISH_SLOPES),
        Fraction(6),
        grows=True,
        at_zero=Fix(np.zeros(1), ZERO_GRID),
        turn=None,
        assumed=("hardswish-absolute-6u|z|",),
        folds=True,
        most=MOST,
    ),
}
