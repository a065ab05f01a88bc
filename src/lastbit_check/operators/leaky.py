"""LeakyRelu and PRelu: z where z >= 0, a z where z < 0, with one number a per channel.

No function is assumed: a z is a product. But XLA folds a into the last factors of z (those of a
mean, say), and then z is not rounded before: its own k roundings are missing, the folded constant
has k and one of its own, and the product one: (2 k + 2)u |a z| in all (docs/bound.md, section 2).

Map: leaky-relu; argued in docs/bound.md 2
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary32 import CEILING, power_of_two
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix, Ints
from lastbit_check.files.operators import BINARY, F, Form, finite
from lastbit_check.network import F32, Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.affine import by_channel
from lastbit_check.operators.curves import CurveKind, Family, on_grid
from lastbit_check.operators.reading import Reader, Rule, made, roundings_before
from lastbit_check.operators.seen import Seen
from lastbit_check.verdict import require

STEEPEST = 2.0**20  # of a's that are read
FINEST = 2.0**-40


def leaky_relu(_: Reader, o: Operator, x: Node) -> Node:
    """One number for all channels."""
    alpha = np.float32(o.attribute("alpha", float(np.float32(0.01))))
    return _made(o, x, np.full(x.shape[0], alpha, np.float32))


def prelu(reader: Reader, o: Operator, x: Seen) -> Seen:
    """One number for all channels, or one for each."""
    values = x.inside(reader.floats(o.inputs[1]))
    right = isinstance(reader.values[o.inputs[0]], Seen) and by_channel(values)
    require(right, "model.operator", "with slopes that differ from place to place")
    return replace(x, node=_made(o, x.node, values[:, 0, 0]))


def _made(o: Operator, x: Node, a: F32) -> Node:
    size = np.abs(a.astype(np.float64))
    right = bool(np.all((size == 0) | ((size >= FINEST) & (size <= STEEPEST))))
    require(right, "model.operator", "slopes that are not between 2^-40 and 2^20")
    counted = (2 * roundings_before(x) + 2).astype(np.float32)
    return made(o, "leakyrelu", x, parameters=(a, counted))


def curve(node: Node) -> CurveKind:
    """The curve with the slopes of a node."""
    a: Ints = node.parameters[0].astype(np.float64).reshape(-1, 1, 1, 1)
    steepest = Fraction(max(1.0, float(np.max(np.abs(a)))))
    each = zip(node.parameters[0].tolist(), node.parameters[1].tolist(), strict=True)
    rounds = [abs(v) * n for v, n in each if v and not power_of_two(Fraction(v))]
    largest = Fraction(max(rounds, default=0.0))

    def values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        ends = [_applied(a, z, up=up) for z in (lo, hi) for up in (False, True)]
        crosses = (lo.n <= 0) & (hi.n >= 0)
        least = np.minimum(ends[0], ends[2])
        most = np.maximum(ends[1], ends[3])
        e = min(lo.e, hi.e)
        return (
            on_grid(np.where(crosses, np.minimum(least, 0.0), least), e, up=False),
            on_grid(np.where(crosses, np.maximum(most, 0.0), most), e, up=True),
        )

    def slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
        left, right = np.where(lo.n < 0, a, 1.0), np.where(hi.n > 0, 1.0, a)
        low, high = np.minimum(left, right), np.maximum(left, right)
        return on_grid(low, 30, up=False), on_grid(high, 30, up=True)

    return CurveKind(
        values,
        slopes,
        Fraction(math.ceil(largest * 16), 16),
        grows=True,
        at_zero=Fix(np.zeros(1), ZERO_GRID),
        turn=None,
        most=CEILING / 4 / math.ceil(steepest),
        gain=steepest,
    )


def _applied(a: Ints, z: Fix, *, up: bool) -> Ints:
    """f at points, on the side that is asked for: a product in float64 is u off, here 2^-51."""
    x = np.ldexp(z.n, -z.e)
    y = np.where(x < 0, a * x, x)
    off = np.where(x < 0, np.abs(y) * 2.0**-51, 0.0)
    return y + off if up else y - off


RULES = {"LeakyRelu": Rule({1: leaky_relu}, by_number=True), "PRelu": Rule({1: prelu}, (2,))}
FORMS = {"LeakyRelu": {7: Form((F,), 1, {"alpha": finite})}, "PRelu": {7: BINARY}}
KINDS = {"leakyrelu": Family(curve)}
