"""Additions, and what multiplies, divides or shifts by constants: they join the sum they read.

Whoever else reads that sum: a runtime may compute it anew. What an Add reads joins it later, and
only where nothing else reads it (`lastbit_check.reading`).

Map: batch-norm <- batch_norm_about, normalised_after, normalised_folded
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary32 import ETA, power_of_two
from lastbit_check.files.operators import FLAG, UNARY, WHOLE_TOO, F, Form, finite, whole
from lastbit_check.network import F32, Constant, Exact, Factor, Node, Sum, View, exact
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.constants import whole_numbers
from lastbit_check.operators.reading import Reader, Rule, copied, summed, taken_in
from lastbit_check.operators.seen import Seen, larger
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


MINUS = Fraction(-1)


def constant(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Add, Sub, Mul and Div of a tensor and a constant."""
    first = isinstance(reader.values[o.inputs[0]], np.ndarray)
    values = x.inside(reader.floats(o.inputs[not first]))
    if o.op in ("Mul", "Div"):
        base, (by,) = _channels(x, values)
        factor = multiplied_by(by) if o.op == "Mul" else divided_by(by)
        return replace(x, node=_scaled(o, base, factor))
    kept = values[:, 0, 0] if by_channel(values) else values
    if o.op == "Sub" and first:
        x = replace(x, node=_scaled(o, x.node, negative(x.node.shape[0])))
    return replace(x, node=_shifted(o, x.node, -kept if o.op == "Sub" and not first else kept))


def negate(_: Reader, o: Operator, x: Node) -> Node:
    """The number with the other sign."""
    return _scaled(o, x, negative(x.shape[0]))


def batch_norm(reader: Reader, o: Operator, x: Seen) -> Seen:
    """gamma (x - mean) / sqrt(variance + epsilon) + beta."""
    given = [reader.floats(name) for name in o.inputs[1:]]
    fits = all(v.shape == x.sizes[:1] for v in given)
    require(fits, "model.shape", "with parameters of another shape")
    require(not o.attribute("training_mode", 0), "model.operator", "in training mode")
    beside = [x.inside(v.reshape(-1, *(1 for _ in x.sizes[1:]))) for v in given]
    base, (gamma, beta, mean, var) = _channels(x, *beside)
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
    return replace(x, node=_shifted(o, _scaled(o, _shifted(o, base, -mean), both), beta))


def add(_: Reader, o: Operator, x: Seen, y: Seen) -> Seen:
    """The sum of two tensors, or their difference."""
    base = larger(x, y)[0]
    channels = base.node.shape[0]
    one, other = (copied(each.node, channels, view=base.beside(each)) for each in (x, y))
    if o.op == "Sub":
        other = other._replace(factors=(negative(channels),))
    return replace(base, node=summed(o, Sum((one, other)), base.node))


def negative(channels: int) -> Factor:
    """The factor -1, which does not round."""
    return _factor(np.array([MINUS] * channels, object), 1)


def by_channel(values: F32) -> bool:
    """Whether numbers (C, H, W) are the same in all places of a channel."""
    return bool(np.all(values == values[:, :1, :1]))


def _channels(x: Seen, *values: F32) -> tuple[Node, list[F32]]:
    """A node of which the values (C, H, W) are one a channel, and these.

    Where they differ by place, all of its units are channels.
    """
    if all(by_channel(v) for v in values):
        return x.node, [v[:, 0, 0] for v in values]
    return flat(x.node), [v.ravel() for v in values]


def flat(x: Node) -> Node:
    """A node, every unit of which is a channel: as it is read, not one of its own."""
    shape = (math.prod(x.shape), 1, 1)
    repeats = math.prod(x.shape[1:])
    trailing = tuple(
        f._replace(value=f.value.repeat(repeats), roundings=f.roundings.repeat(repeats))
        for f in x.trailing
    )
    part = copied(x, shape[0], view=View(shape))
    return replace(x, shape=shape, sum=Sum((part,)), trailing=trailing)


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
    "Add": Rule({0: whole_numbers, 1: constant, 2: add}, (2,)),
    "BatchNormalization": Rule({1: batch_norm}, (5,)),
    "Neg": Rule({1: negate}, by_number=True),
    "Sub": Rule({0: whole_numbers, 1: constant, 2: add}, (2,)),
}
NORM = {"epsilon": finite, "momentum": finite}
FORMS = {
    **{key: {7: WHOLE_TOO} for key in ("Add", "Sub")},
    "BatchNormalization": {
        7: Form((F,) * 5, 5, {**NORM, "spatial": whole(1, 1)}),
        9: Form((F,) * 5, 5, NORM),
        14: Form((F,) * 5, 5, {**NORM, "training_mode": FLAG}),
    },
    "Neg": {7: UNARY},
}
