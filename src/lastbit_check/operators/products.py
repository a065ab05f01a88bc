"""Mul: a curve where one is a curve of the other (x sigmoid(x) is SiLU, say), a gate, a factor.

Map: gate <- gate_value, gate_change, unit_rounding; argued in docs/bound.md 2
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary32 import finite, rounding, underflow
from lastbit_check.arithmetic.exact import Fix, times, total
from lastbit_check.files.operators import WHOLE_TOO
from lastbit_check.network import Node, Shape, View, growth
from lastbit_check.onnxfile import Operator
from lastbit_check.operators import gelu, gelu_tanh, powers, soft
from lastbit_check.operators.affine import constant
from lastbit_check.operators.constants import whole_numbers
from lastbit_check.operators.curves import bent, deviation, diagonal
from lastbit_check.operators.forms import Bound, Change, Made, Value, before_factors, nothing
from lastbit_check.operators.kinds import Core, Setting
from lastbit_check.operators.reading import Reader, Rule, made
from lastbit_check.operators.seen import Seen, larger
from lastbit_check.verdict import require

OF_ONE = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
"""What the product of a node and such a curve of it is."""


def by_constant(reader: Reader, o: Operator, x: Seen) -> Seen:
    """A tensor times a constant."""
    scaled = constant(reader, o, x)
    curve = gelu.halved(o, x.node, scaled.node.trailing[-1])
    return scaled if curve is None else replace(x, node=curve)


def product(reader: Reader, o: Operator, a: Seen, b: Seen) -> Seen:
    """The product of two tensors."""
    for x, s in ((a, b), (b, a)):
        if x.sizes == s.sizes and x.beside(s) is None:
            curve = _with_itself(reader, o, x.node, s.node)
            if curve is not None:
                return replace(x, node=curve)
    x, s = larger(a, b)
    view, kept = x.beside(s), s.node.trailing
    if view is not None and _repeats(view, s.node.shape):
        view = None
    require(view is None or not kept, "model.operator", "with factors of what stands otherwise")
    views = () if view is None else (None, view)
    return replace(x, node=made(o, "gate", x.node, s.node, trailing=x.node.trailing + kept,
                                views=views))  # fmt: skip


def _with_itself(reader: Reader, o: Operator, x: Node, s: Node) -> Node | None:
    """The curve that the product of a node and a curve of it is, if that is one."""
    if s.op in OF_ONE and s.inputs == (x.name,):
        return made(o, OF_ONE[s.op], x, parameters=s.parameters)
    return (
        powers.raised(o, x, s)
        or soft.from_parts(reader, o, x, s)
        or gelu.from_parts(reader, o, x, s)
        or gelu_tanh.from_parts(reader, o, x, s)
    )


def _repeats(view: View, shape: Shape) -> bool:
    """Whether numbers (C, 1, 1) are seen once for each place of their channel."""
    each = np.arange(shape[0]).repeat(math.prod(view.shape[1:]))
    vector = shape == (view.shape[0], 1, 1)
    return vector and view.order is not None and np.array_equal(view.order, each)


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


RULES = {"Mul": Rule({0: whole_numbers, 1: by_constant, 2: product}, (2,))}
KINDS = {"gate": GateKind()}
FORMS = {"Mul": {7: WHOLE_TOO}}
