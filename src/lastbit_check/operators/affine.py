"""Additions, and what multiplies, divides or shifts by constants: they join the sum they read.

Whoever else reads that sum: a runtime may compute it anew. What an Add reads joins it later, and
only where nothing else reads it (`lastbit_check.reading`).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary32 import ETA, power_of_two
from lastbit_check.files.operators import BINARY, FLAG, F, Form, finite
from lastbit_check.network import F32, Constant, Exact, Factor, Node, exact
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.reading import Reader, Rule, copy_of, summed, taken_in
from lastbit_check.verdict import require

BATCH_NORM_ROUNDINGS = 10
"""Of a term by batch norm's factor gamma / sqrt(variance + epsilon), folded or not.

Seven are what any usual form needs (proofs/operations/BatchNorm.v).
"""


def multiplied_by(values: F32) -> Factor:
    """The factor of a multiplication by constants (C,)."""
    return _factor(exact(values), 1)


def divided_by(values: F32) -> Factor:
    """The factor of a division, or of a multiplication with the rounded reciprocal."""
    normal = bool(np.min(np.abs(values)) >= ETA)
    require(normal, "finite.values", "a divisor that is 0 or subnormal")
    return _factor(1 / exact(values), 2)


def _factor(value: Exact, roundings: int) -> Factor:
    counted = np.array([0 if power_of_two(v) else roundings for v in value])
    grows = max([Fraction(1), *(max(abs(v), 1 / abs(v)) for v in value if v)])
    return Factor(value, counted, grows)


def constant(reader: Reader, o: Operator, x: Node) -> Node:
    """Add, Sub, Mul and Div of a node and a constant."""
    first = isinstance(reader.values[o.inputs[0]], np.ndarray)
    require(
        not first or o.op in ("Mul", "Add"),
        "model.operator",
        "of a constant and a tensor, in this order",
    )
    given, full = reader.floats(o.inputs[not first]), (1, x.shape[0], 1, 1)[: x.rank]
    shapes = ((), (1,), (1,) * x.rank, full, full[1:])
    require(given.shape in shapes, "model.shape", f"with a constant of shape {given.shape}")
    values = np.broadcast_to(given.reshape(-1), x.shape[:1]).astype(np.float32)
    if o.op in ("Mul", "Div"):
        factor = multiplied_by(values) if o.op == "Mul" else divided_by(values)
        return _scaled(o, x, factor)
    return _shifted(o, x, -values if o.op == "Sub" else values)


def batch_norm(reader: Reader, o: Operator, x: Node) -> Node:
    """gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    gamma, beta, mean, var = (reader.floats(name) for name in o.inputs[1:])
    fits = all(v.shape == x.shape[:1] for v in (gamma, beta, mean, var))
    require(fits, "model.shape", "with parameters of another shape")
    require(not o.attribute("training_mode", 0), "model.operator", "in training mode")
    epsilon = o.attribute("epsilon", float(np.float32(1e-5)))
    right = 2.0**-100 <= epsilon < math.inf and np.all(var >= 0)
    require(right, "model.shape", "with a negative variance, or an epsilon that is too small")
    roots = np.array([_root(v + Fraction(epsilon)) for v in exact(var)], object)
    factors = [_factor(exact(gamma), 1), _factor(1 / roots, 1)]
    both = Factor(
        factors[0].value * factors[1].value,
        np.full(len(roots), BATCH_NORM_ROUNDINGS),
        factors[0].growth * factors[1].growth,
        known=False,
    )
    return _shifted(o, _scaled(o, _shifted(o, x, -mean), both), beta)


def add(_: Reader, o: Operator, x: Node, y: Node) -> Node:
    """The sum of two nodes."""
    require(x.shape == y.shape, "model.shape", f"of shapes {x.shape} and {y.shape}")
    return summed(o, copy_of(x).plus(copy_of(y)), x)


def _scaled(o: Operator, x: Node, factor: Factor) -> Node:
    return summed(o, taken_in(x).scaled(factor), x, trailing=(*x.trailing, factor))


def _shifted(o: Operator, x: Node, values: F32) -> Node:
    what = taken_in(x)
    return summed(o, what._replace(constants=(*what.constants, Constant(values))), x)


def _root(x: Fraction) -> Fraction:
    """The square root from below, relative error below 2^-50."""
    k = (120 - x.numerator.bit_length() + x.denominator.bit_length()) // 2
    return Fraction(math.isqrt(math.floor(x * Fraction(4) ** k))) / Fraction(2) ** k


RULES = {
    **dict.fromkeys(("Div", "Sub"), Rule({1: constant}, (2,))),
    "Add": Rule({1: constant, 2: add}, (2,)),
    "BatchNormalization": Rule({1: batch_norm}, (5,)),
}
NORM = {"epsilon": finite, "momentum": finite}
FORMS = {
    **{key: {13: BINARY} for key in ("Add", "Div", "Sub")},
    "BatchNormalization": {
        13: Form((F,) * 5, 5, NORM),
        14: Form((F,) * 5, 5, {**NORM, "training_mode": FLAG}),
    },
}
