"""Gelu, z Phi(z) with the normal distribution's Phi, and Erf, which it is made of.

    Phi(z) = (1 + erf(z / sqrt 2)) / 2.

What is assumed: |computed erf(z) - erf(z)| <= 20u, |computed gelu(z) - gelu(z)| <= 16u|z| + 2^-126,
by one operator or by those that exporters write: x (1 + Erf(x / sqrt 2)), halved before, between or
after. Largest errors seen of erf: 0.94u (ONNX Runtime), 1.00u (PyTorch), 8.51u (PyTorch compiled,
near 0), 5.14u (XLA); of gelu, by |z|: 1.82u, 6.14u, 4.53u, 3.46u.

The constant may be folded into the last factors of x, as XLA does: what Erf reads is then another
(2 k + 2)u |z| off, with k roundings of these, and Gelu |z phi(z)| <= 1/4 times that.

With the density phi: gelu' = Phi + z phi, gelu'' = (2 - z^2) phi, largest at 0: 0.798; |erf''| is
less than 0.97. Between the points of the tables gelu turns at -0.7517..., gelu' at +-sqrt 2.

Map: gelu; argued in docs/bound.md 2
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from lastbit_check.arithmetic.binary32 import power_of_two
from lastbit_check.arithmetic.enclosure import END, Tabulated, enclosed, exp_bounds
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.files.operators import UNARY
from lastbit_check.network import Exact, Factor, Node, exact, product
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.curves import CurveKind, Enclosure, Family
from lastbit_check.operators.reading import Reader, Rule, made, roundings_before, taken_in

ERF_ERROR, GELU_ERROR = Fraction(20), Fraction(16)
HUGE = Fraction(2) ** 120
ROOT = np.float32(2**0.5)
ROOTS = (1 / Fraction(float(ROOT)), Fraction(float(np.float32(0.5**0.5))))
"""What x is multiplied with, by a division or by a product."""


def erf(_: Reader, o: Operator, x: Node) -> Node:
    """The error function of a number."""
    return made(o, "erf", x)


def times_gelu(o: Operator, x: Node, scale: int) -> Node:
    """So many times Gelu. Its parameters: what folding costs, in units of u |z|; the scale."""
    folding = np.ceil((2 * roundings_before(x) + 2) / 4) * scale
    parameters = folding.astype(np.float32), np.full(x.shape[0], scale, np.float32)
    return made(o, "gelu", x, parameters=parameters)


def from_parts(reader: Reader, o: Operator, y: Node, s: Node) -> Node | None:
    """Gelu, or twice that, if y is x and s is 1 + erf(x / sqrt 2), perhaps halved; else None."""
    inner = one_more(reader, s, "erf")
    if inner is None:
        return None
    error, halved = inner
    root = reader.seen(error.inputs[0]).node
    (*_, name) = reader.reads.get(root.name, [""])
    if not name:
        return None
    x = reader.seen(name).node
    by, outer = multiple(root, x), multiple(y, x)
    if by not in ROOTS or outer is None:
        return None
    scale = 2 * halved * outer
    return times_gelu(o, x, int(scale)) if scale in (1, 2) else None


def halved(o: Operator, x: Node, by: Factor) -> Node | None:
    """Gelu, if x is twice that and multiplied with 1/2; else None."""
    twice = x.op in ("gelu", "gelutanh") and x.parameters[1][0] == 2
    if not twice or uniform(by.value) != Fraction(1, 2):
        return None
    return replace(x, name=o.name, parameters=tuple(v / np.float32(2) for v in x.parameters))


def one_more(reader: Reader, s: Node, op: str) -> tuple[Node, Fraction] | None:
    """The Erf, or Tanh, of which s is 1 more, times a power of two; and that."""
    if s.sum is None or len(s.sum.parts) != 1 or len(s.sum.constants) != 1:
        return None
    (part,), (constant,) = s.sum.parts, s.sum.constants
    if not part.copies or part.view is not None or constant.value.ndim != 1:
        return None
    node, channels = reader.seen(part.source).node, s.shape[0]
    each = product(part.factors, channels)
    scale = uniform(np.concatenate([each, exact(constant.value)
                                     * product(constant.factors, channels)]))  # fmt: skip
    right = node.op == op and scale is not None and power_of_two(scale)
    return (node, scale) if right and scale is not None else None


def multiple(y: Node, x: Node) -> Fraction | None:
    """The constant that one node is another one times, if it is made so."""
    if y.name == x.name:
        return Fraction(1)
    if y.sum is None or not y.trailing or not _same(y.sum, taken_in(x).scaled(y.trailing[-1])):
        return None
    return uniform(y.trailing[-1].value)


def uniform(values: Exact) -> Fraction | None:
    """The one number that all are."""
    return values[0] if all(v == values[0] for v in values) else None


def _same(a: Any, b: Any) -> bool:
    """Whether two sums, or what is in them, are the same."""
    if all(isinstance(v, tuple) for v in (a, b)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b or bool(np.array_equal(a, b))


# ---- enclosures ------------------------------------------------------------------------------

ONE, TERMS = 2**96, 120
Bounds = tuple[Fraction, Fraction]
DENSITY = Fraction(398942280401432677939946059934, 10**30)  # of the normal distribution at 0
STEEPEST = Fraction(1128379167095512573896158903121, 10**30)  # 2 / sqrt(pi), the slope of erf at 0
LAST = Fraction(1, 10**30)


def _bell(top: Fraction, x: Fraction) -> Bounds:
    """A constant, its next digits not known, times exp(-x)."""
    low, high = exp_bounds(-x)
    return top * low, (top + LAST) * high


def _series(s: Fraction) -> Bounds:
    """The sum of s^n / (1 3 5 ... (2n + 1)), 0 <= s <= 72: by Horner, from a rest of 1 to 2.

    That is what is left after TERMS factors s / (2n + 1), because s / (2n + 1) <= 1/2 from there.
    """
    low, high = ONE, 2 * ONE
    for n in range(TERMS, 0, -1):
        up, down = s.numerator, s.denominator * (2 * n + 1)
        low, high = ONE + low * up // down, ONE - -high * up // down
    return Fraction(low, ONE), Fraction(high, ONE)


def normal_bounds(z: Fraction) -> Bounds:
    """Phi(z) = 1/2 + z phi(z) (1 + z^2/3 + z^4/15 + ...); from 8 on less than phi(z)/z below 1."""
    density, size = _bell(DENSITY, z * z / 2), abs(z)
    if size > 8:
        low, high = 1 - density[1] / size, Fraction(1)
    else:
        rest = _series(z * z)
        low, high = (Fraction(1, 2) + size * d * r for d, r in zip(density, rest, strict=True))
    return (low, high) if z >= 0 else (1 - high, 1 - low)


def _gelu_slopes(z: Fraction) -> Bounds:
    more = sorted(z * d for d in _bell(DENSITY, z * z / 2))
    low, high = normal_bounds(z)
    return low + more[0], high + more[1]


def _gelu_values(z: Fraction) -> Bounds:
    low, high = normal_bounds(z)
    return z * low, z * high


def erf_bounds(z: Fraction) -> Bounds:
    """Likewise with z^2 doubled; from 6 on less than erf'(z)/(2z) below 1."""
    slope, size = _erf_slopes(z), abs(z)
    if size > 6:
        low, high = 1 - slope[1] / (2 * size), Fraction(1)
    else:
        low, high = (size * d * r for d, r in zip(slope, _series(2 * z * z), strict=True))
    return (low, high) if z >= 0 else (-high, -low)


def _erf_slopes(z: Fraction) -> Bounds:
    return _bell(STEEPEST, z * z)


ERF = Tabulated.exactly(erf_bounds, ((-END, -END, -1.0), (END, END, 1.0)), near=(0.0, 1.1284))
ERF_SLOPE = Tabulated.exactly(
    _erf_slopes, ((-END, -END, 0.0), (0, 0, 1.1284), (END, END, 0.0)), near=None
)
GELU = Tabulated.exactly(
    _gelu_values, ((-END, -END, 0.0), (-49, -48, -0.16998), (END, END, math.inf)), near=(0.0, 1.0)
)
GELU_SLOPE = Tabulated.exactly(
    _gelu_slopes,
    ((-END, -END, 0.0), (-91, -90, -0.12891), (90, 91, 1.12891), (END, END, 1.0)),
    near=(0.5, 0.8),
)
PLAIN = CurveKind(
    partial(enclosed, GELU),
    partial(enclosed, GELU_SLOPE),
    GELU_ERROR,
    grows=True,
    at_zero=Fix(np.zeros(1), ZERO_GRID),
    turn=0,
    most=HUGE,
    gain=Fraction(113, 100),
    folds=True,
)


def curve(node: Node) -> CurveKind:
    """Gelu, or twice that."""
    return doubled(PLAIN, int(node.parameters[1][0] == 2))


def doubled(plain: CurveKind, times: int) -> CurveKind:
    """A curve with |f''| <= 1, doubled so many times."""
    return replace(
        plain,
        values=partial(_doubled, plain.values, times),
        slopes=partial(_doubled, plain.slopes, times),
        error=plain.error * 2**times,
        turn=-times,
        gain=plain.gain * 2**times,
    )


def _doubled(enclose: Enclosure, times: int, lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """What is enclosed, doubled so many times."""
    low, high = enclose(lo, hi)
    return Fix(low.n, low.e - times), Fix(high.n, high.e - times)


RULES = {"Erf": Rule({1: erf}, by_number=True)}
FORMS = {"Erf": {9: UNARY}}
KINDS = {
    "erf": CurveKind(
        partial(enclosed, ERF),
        partial(enclosed, ERF_SLOPE),
        ERF_ERROR,
        grows=False,
        at_zero=Fix(np.zeros(1), ZERO_GRID),
        turn=0,
        assumed=("erf-absolute-20u",),
        gain=Fraction(113, 100),
    ),
    "gelu": Family(curve, ("gelu-absolute-16u|z|",)),
}
