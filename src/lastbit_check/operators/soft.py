"""Softplus, Softsign and Mish.

    softplus(z) = ln(1 + exp(z)),    softsign(z) = z / (1 + |z|),    mish(z) = z tanh(softplus(z)).

What is assumed: |computed softplus(z) - softplus(z)| <= 4u + 2u |z|; a computed softsign(z) is
within 4u |softsign(z)| + 2^-126; |computed mish(z) - mish(z)| <= 12u |z| + 2^-126, by one operator
or by three. Largest errors seen, as shares of that: 0.50, 0.59, 0.45 (ONNX Runtime), 0.44, 0.50,
0.15 (PyTorch, compiled or not), 0.45, 0.50, 0.45 (XLA).

softplus' is the sigmoid. With n = exp(z) (exp(z) + 2), tanh(softplus(z)) = n / (n + 2). Mish turns
at -1.1924..., mish' at -2.2563... and 1.4905..., and |mish''| < 0.65. |softsign''| <= 2.

Map: soft-curves; argued in docs/bound.md 2
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from functools import partial

import numpy as np

from lastbit_check.arithmetic.enclosure import (
    END,
    SIGMOID,
    SURE,
    Tabulated,
    enclosed,
    exp_bounds,
)
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints, total
from lastbit_check.files.operators import UNARY
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.reading import Reader, Rule, made

HUGE = Fraction(2) ** 120
Bounds = tuple[Fraction, Fraction]


def softplus(_: Reader, o: Operator, x: Node) -> Node:
    """A smooth Relu."""
    return made(o, "softplus", x)


def softsign(_: Reader, o: Operator, x: Node) -> Node:
    """A number by one more than its magnitude."""
    return made(o, "softsign", x)


def mish(_: Reader, o: Operator, x: Node) -> Node:
    """A number times the tanh of its softplus."""
    return made(o, "mish", x)


def from_parts(reader: Reader, o: Operator, x: Node, s: Node) -> Node | None:
    """Mish, if s is the tanh of the softplus of x; else None."""
    if s.op != "tanh":
        return None
    inner = reader.seen(s.inputs[0]).node
    return mish(reader, o, x) if inner.op == "softplus" and inner.inputs == (x.name,) else None


def logarithm(x: Fraction) -> Bounds:
    """Of 1 <= x <= 2, to 50 digits: as exp, correctly rounded to some more."""
    context = Context(prec=60)
    y = Fraction(context.ln(context.divide(Decimal(x.numerator), Decimal(x.denominator))))
    return y - SURE, y + SURE


def _below_zero(z: Fraction) -> Bounds:
    """Softplus of z, or of 0 where that is less."""
    low, high = exp_bounds(min(z, Fraction(0)))
    return logarithm(1 + low)[0], logarithm(1 + high)[1]


def _softplus_values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """It rises; softplus(z) = max(z, 0) + softplus(-|z|)."""
    (least, _), (_, most) = (enclosed(TAIL, v, v) for v in (_folded(lo), _folded(hi)))
    above, beyond = (Fix(np.maximum(z.n, 0.0), z.e) for z in (lo, hi))
    return -total(-above, -least), total(beyond, most)


def _folded(z: Fix) -> Fix:
    return Fix(-np.abs(z.n), z.e)


def _softsign(z: Fraction) -> Bounds:
    y = z / (1 + abs(z))
    return y, y


def _softsign_slope(z: Fraction) -> Bounds:
    y = 1 / (1 + abs(z)) ** 2
    return y, y


def _tanh_of_softplus(z: Fraction) -> Bounds:
    low, high = (e * (e + 2) for e in exp_bounds(z))
    return low / (low + 2), high / (high + 2)


def _mish(z: Fraction) -> Bounds:
    low, high = _tanh_of_softplus(z)
    return z * low, z * high


def _mish_slope(z: Fraction) -> Bounds:
    """t + z t', where t' = 4 exp(z) (exp(z) + 1) / (n + 2)^2."""
    (least, most), (low, high) = exp_bounds(z), _tanh_of_softplus(z)
    rises = (4 * e * (e + 1) / (f * (f + 2) + 2) ** 2 for e, f in ((least, most), (most, least)))
    more = sorted(z * rise for rise in rises)
    return low + more[0], high + more[1]


TAIL = Tabulated.exactly(_below_zero, ((-END, -END, 0.0),), near=None)
SOFTSIGN = Tabulated.exactly(_softsign, ((-END, -END, -1.0), (END, END, 1.0)), near=(0.0, 1.0))
SOFTSIGN_SLOPE = Tabulated.exactly(
    _softsign_slope, ((-END, -END, 0.0), (0, 0, 1.0), (END, END, 0.0)), near=(1.0, 2.0)
)
MISH = Tabulated.exactly(
    _mish, ((-END, -END, 0.0), (-77, -76, -0.30885), (END, END, np.inf)), near=(0.0, 1.0)
)
MISH_SLOPE = Tabulated.exactly(
    _mish_slope,
    ((-END, -END, 0.0), (-145, -144, -0.11253), (95, 96, 1.0885), (END, END, 1.0)),
    near=None,
)
_LN2: Ints = np.array([762123384786.0])  # of ln 2, in units of 2^-40
ZERO = Fix(np.zeros(1), ZERO_GRID)
RULES = {
    "Mish": Rule({1: mish}, by_number=True),
    "Softplus": Rule({1: softplus}, by_number=True),
    "Softsign": Rule({1: softsign}, by_number=True),
}
FORMS = {"Mish": {18: UNARY}, "Softplus": {7: UNARY}, "Softsign": {7: UNARY}}
KINDS = {
    "softplus": CurveKind(
        _softplus_values,
        partial(enclosed, SIGMOID),
        Fraction(4),
        grows=False,
        at_zero=Fix(_LN2, 40),
        turn=2,
        assumed=("softplus-absolute-4u-2u|z|",),
        also=Fraction(2),
        most=HUGE,
    ),
    "softsign": CurveKind(
        partial(enclosed, SOFTSIGN),
        partial(enclosed, SOFTSIGN_SLOPE),
        Fraction(4),
        grows=False,
        at_zero=ZERO,
        turn=-1,
        assumed=("softsign-relative-4u",),
        relative=True,
        most=HUGE,
    ),
    "mish": CurveKind(
        partial(enclosed, MISH),
        partial(enclosed, MISH_SLOPE),
        Fraction(12),
        grows=True,
        at_zero=ZERO,
        turn=0,
        assumed=("mish-absolute-12u|z|",),
        most=HUGE,
        gain=Fraction(11, 10),
    ),
}
