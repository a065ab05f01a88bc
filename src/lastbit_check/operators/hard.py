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

HardSigmoid of other constants is a line between 0 and 1, clamp(a z + b, 0, 1): a product and a sum,
of which nothing is assumed. Where it is not clamped |a z| <= 1 + |b|, so that it is u (2 + |b|)
off. If a is folded into the last factors of z, r roundings, that is another (2 r + 2)u (1 + |b|), r
+ 2 where a mean may be read; and if a = 1 and k constants of magnitude B were added last, (k (B +
|b|) + 1 + |b|)u.

Map: hard-curves; argued in docs/bound.md 2
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

import numpy as np

from lastbit_check.arithmetic.enclosure import STEP, Tabulated, enclosed
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints
from lastbit_check.files.operators import UNARY, F, Form, finite
from lastbit_check.network import F32, Exact, Node, exact, made_of
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.clip import exactly
from lastbit_check.operators.curves import CurveKind, Family, on_grid
from lastbit_check.operators.reading import Reader, Rule, made, roundings_before
from lastbit_check.verdict import require

SIXTH = float(np.float32(1) / np.float32(6))
KINK = 3 * STEP  # where the tables have it
MOST = Fraction(2) ** 120
LEAST, STEEPEST = 2.0**-20, 2.0**20


def hard_sigmoid(_: Reader, o: Operator, x: Node) -> Node:
    """The one that HardSwish is made of, or of other constants."""
    alpha, beta = o.attribute("alpha", float(np.float32(0.2))), o.attribute("beta", 0.5)
    if (alpha, beta) == (SIXTH, 0.5):
        return made(o, "hardsigmoid", x, parameters=(_folded(x),))
    a, b = np.float32(alpha), np.float32(beta)
    right = LEAST <= abs(a) <= STEEPEST and abs(b) <= STEEPEST
    require(right, "model.operator", f"with alpha {alpha} and beta {beta}")
    more, count = 1 + abs(float(b)), len(x.sum.constants) if x.sum and abs(a) == 1 else 0
    folded = (2 * roundings_before(x) + 2) * more
    folded = folded + bool(count) * (count * (_added(x) + abs(float(b))) + more)
    units = np.ceil(1 + more + folded)
    require(np.all(units < 2**20), "model.operator", "behind constants that are too large")
    each = (np.full(x.shape[0], v, np.float32) for v in (a, b))
    return made(o, "line", x, parameters=(*each, units.astype(np.float32)))


def hard_swish(_: Reader, o: Operator, x: Node) -> Node:
    """A number times the hard sigmoid of it."""
    return made(o, "hardswish", x, parameters=(_folded(x),))


def _folded(x: Node) -> F32:
    """What folding the constants that were added last costs, in units of u (C,)."""
    count = len(x.sum.constants) if x.sum else 0
    each = (math.ceil((count * (most + 3) + 3) / 6) - 1 for most in _added(x))
    units = [max(0, n) if count else 0 for n in each]
    require(max(units) < 2**20, "model.operator", "behind constants that are too large")
    return np.array(units, np.float32)


def _added(x: Node) -> Exact:
    """How large the constants that were added last are together (C,)."""
    found = exact(np.zeros(x.shape[0], np.float32))
    for constant in x.sum.constants if x.sum else ():
        found = found + abs(made_of(constant, x.shape)).reshape(x.shape[0], -1).max(axis=1)
    return found


def line(node: Node) -> CurveKind:
    """a z + b between 0 and 1."""
    a, b = (float(v[0]) for v in node.parameters[:2])
    room = 2.0**-48 * (1 + abs(b))

    def ends(lo: Fix, hi: Fix) -> tuple[Ints, Ints]:
        p, q = (a * np.ldexp(z.n, -z.e) + b for z in (lo, hi))
        return np.minimum(p, q) - room, np.maximum(p, q) + room

    def values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        low, high = (np.clip(end, 0.0, 1.0) for end in ends(lo, hi))
        return on_grid(low, 48, up=False), on_grid(high, 48, up=True)

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        """a between the kinks, 0 beyond them."""
        low, high = ends(lo, hi)
        always, somewhere = (low >= 0) & (high <= 1), (low <= 1) & (high >= 0)
        inside, beyond = np.where(somewhere, a, np.inf), np.where(always, np.inf, 0.0)
        least = np.minimum(inside, beyond)
        most = np.maximum(np.where(somewhere, a, -np.inf), np.where(always, -np.inf, 0.0))
        return on_grid(least, 30, up=False), on_grid(most, 30, up=True)

    return CurveKind(
        values,
        slopes,
        Fraction(float(np.max(node.parameters[2]))),
        grows=False,
        at_zero=exactly(min(max(b, 0.0), 1.0)),
        turn=None,
        most=MOST / 2**20,
        gain=Fraction(max(1.0, abs(a))),
    )


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
    "line": Family(line),
}
