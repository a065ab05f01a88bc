"""Div: by a constant, of a constant, or of two tensors, of which the second is never 0.

x / y is x s with s = 1 / y. Like a gate it has the core s0 x, and x'/y' - x/y is s0 D_x + (s - s0)
D_x + x' D_s, where |D_s| <= s^2 |D_y|. It is one rounding, or two, if the reciprocal is rounded;
factors of x may be applied to the quotient, or to y the other way round, and those of y likewise.

Map: quotient; argued in docs/bound.md 3
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.binary32 import rounding
from lastbit_check.arithmetic.exact import Fix, times, total
from lastbit_check.files.operators import WHOLE_TOO
from lastbit_check.network import Factor
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.affine import constant
from lastbit_check.operators.constants import whole_numbers
from lastbit_check.operators.curves import boxed, diagonal, on_grid
from lastbit_check.operators.forms import Bound, Change, Made, Value, nothing
from lastbit_check.operators.kinds import Core, Setting
from lastbit_check.operators.powers import away_from_zero, not_a_quotient, over
from lastbit_check.operators.products import GateKind
from lastbit_check.operators.reading import Reader, Rule, made
from lastbit_check.operators.seen import Seen
from lastbit_check.verdict import require

GATE = GateKind()


def with_constant(reader: Reader, o: Operator, x: Seen) -> Seen:
    """A tensor by a constant, which is a factor, or a constant by a tensor."""
    first = isinstance(reader.values[o.inputs[0]], np.ndarray)
    return over(reader, o, x) if first else constant(reader, o, x)


def quotient(reader: Reader, o: Operator, x: Seen, y: Seen) -> Seen:
    """One tensor by another, which stands beside it."""
    for operand in (x, y):
        not_a_quotient(reader, operand.node)
    view = x.beside(y)
    inverse = tuple(_inverse(factor) for factor in y.node.trailing)
    require(view is None or not inverse, "model.operator", "by factors of what stands otherwise")
    views = () if view is None else (None, view)
    return replace(x, node=made(o, "quotient", x.node, y.node, views=views,
                                trailing=x.node.trailing + inverse))  # fmt: skip


def _inverse(factor: Factor) -> Factor:
    """What divides, or whose reciprocal multiplies."""
    require(np.all(factor.value != 0), "finite.values", "a divisor that is 0")
    more = factor.roundings + (factor.roundings > 0)
    return factor._replace(value=1 / factor.value, roundings=more)


class QuotientKind:
    """x / y: the rules of a gate x s, s = 1 / y, with one rounding more."""

    hinted = frozenset({"slopes"})
    assumed = ()

    def value(self, setting: Setting, sources: list[Value], spread: Fix) -> Made:
        x, s = sources[0], inverse_of(sources[1])
        product = GATE.value(setting, [x, s], spread)
        again = times(x.magnitude, rounding(s.magnitude))
        return product._replace(noise=total(product.noise, again))

    def change(self, setting: Setting, sources: list[Value], moves: list[Bound]) -> Change:
        x, s = sources[0], inverse_of(sources[1])
        steepest = times(s.magnitude, s.magnitude)
        moved = times(steepest, moves[1].radius)
        return GATE.change(setting, [x, s], [moves[0], Bound(moved, nothing(moved))])

    def cores(self, setting: Setting) -> list[Core]:
        return [diagonal(setting)]


def inverse_of(y: Value) -> Value:
    """The reciprocals of what is never 0; without factors of y they may be so much larger."""
    a, b = away_from_zero(*y.interval)
    low, high = np.minimum(1 / a, 1 / b), np.maximum(1 / a, 1 / b)
    room = 2.0**-48 * np.maximum(-low, high)
    c, off = boxed((on_grid(low - room, 60, up=False), on_grid(high + room, 60, up=True)))
    return Value(c, Bound(off, nothing(c)), nothing(c), (Fraction(0), y.before[1]))


RULES = {"Div": Rule({0: whole_numbers, 1: with_constant, 2: quotient}, (2,))}
KINDS = {"quotient": QuotientKind()}
FORMS = {"Div": {7: WHOLE_TOO}}
