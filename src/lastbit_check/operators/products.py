"""Mul: x sigmoid(x) is SiLU, HardSwish likewise; others are a gate, or a factor with a constant."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary32 import finite, rounding, underflow
from lastbit_check.arithmetic.exact import Fix, times, total
from lastbit_check.files.operators import BINARY
from lastbit_check.network import Node, growth
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.affine import constant
from lastbit_check.operators.curves import bent, deviation, diagonal
from lastbit_check.operators.forms import Bound, Change, Made, Value, before_factors, nothing
from lastbit_check.operators.kinds import Core, Setting
from lastbit_check.operators.reading import Reader, Rule, made
from lastbit_check.verdict import require

OF_ONE = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
"""What the product of a node and such a curve of it is."""


def product(_: Reader, o: Operator, a: Node, b: Node) -> Node:
    """The product of two nodes."""
    for x, s in ((a, b), (b, a)):
        if s.op in OF_ONE and s.inputs == (x.name,):
            return made(o, OF_ONE[s.op], x, parameters=s.parameters)
    x, s = (a, b) if b.shape[1:] == (1, 1) else (b, a)
    right = s.shape == (x.shape[0], 1, 1)
    require(right, "model.shape", f"of shapes {a.shape} and {b.shape}")
    return made(o, "gate", x, s, trailing=x.trailing + s.trailing)


class GateKind:
    """x s, core s0 x: x's' - xs = s0 D_x + (s - s0) D_x + x' D_s.

    Factors of x and of s may be applied to their product, or to the other one of them before: each
    may round once more there.
    """

    hinted = frozenset({"slopes", "together"})
    assumed = ()

    def value(self, setting: Setting, sources: list[Value], _: Fix) -> Made:
        x, s = sources
        # a factor may be applied to the product, or to either operand before
        most = max(x.largest * s.largest + 1, x.largest, s.largest)
        largest = growth(setting.node.trailing) * most
        finite(largest)
        weight, lost = gate_roundings(setting.node, x.largest, s)
        away = deviation(setting.slope, *s.interval)
        c, error = bent(x, setting.slope, nothing(x.c), times(away, x.magnitude))
        noise = total(times(x.magnitude, weight), lost)
        return Made(c, error, noise, before_factors(setting.node, largest))

    def change(self, setting: Setting, sources: list[Value], moves: list[Bound]) -> Change:
        (x, s), (of_x, of_s) = sources, moves
        away = deviation(setting.slope, *s.interval)
        bend = total(times(away, of_x.radius), times(x.magnitude, of_s.radius))
        carried = times(setting.slope.abs(), of_x.error, bits=(21, 31))
        return Change(total(carried, bend), bend)

    def cores(self, setting: Setting) -> list[Core]:
        return [diagonal(setting)]


def gate_roundings(node: Node, top: Fraction, s: Value) -> tuple[Fix, Fix]:
    """The rounding of a product x s by each |x|, and what underflow adds, for |x| <= top."""
    more = sum(int(np.max(factor.roundings)) for factor in node.trailing)
    count = 1 + more + (more > 0)  # (1 + u)^k - 1 <= (k + 1) u
    gain = growth(node.trailing) * (len(node.trailing) + 1)
    once = rounding(s.magnitude)
    return Fix(count * once.n, once.e), underflow(gain * (top + s.largest + 4))


RULES = {"Mul": Rule({1: constant, 2: product}, (2,))}
KINDS = {"gate": GateKind()}
FORMS = {"Mul": {13: BINARY}}
