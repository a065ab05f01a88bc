"""Sums: convolutions, dense layers, means, additions, scalings, and all that joins them.

Map: sum
"""

from __future__ import annotations

from fractions import Fraction

from lastbit_check.arithmetic.binary32 import finite, underflow
from lastbit_check.arithmetic.exact import Fix, total
from lastbit_check.operators.forms import Bound, Change, Made, Value, before_factors, line
from lastbit_check.operators.kinds import Core, Setting
from lastbit_check.operators.layers import Layer


class SumKind:
    """Exact but for rounding and the grid of the core."""

    hinted = frozenset({"together"})
    assumed = ()

    def value(self, setting: Setting, sources: list[Value], spread: Fix) -> Made:
        layer = layer_in(setting)
        reaches, top = [x.magnitude for x in sources], max(x.largest for x in sources)
        largest = layer.reach * (top + 1)
        finite(largest)
        finite(total(layer.spread(reaches), layer.bias_size).largest())
        left = layer.left_out(reaches)
        parts = [*layer.core([x.c for x in sources]), layer.bias]
        c, error = line(parts, layer.spread([x.bound.error for x in sources]), left)
        rounding = layer.rounding(reaches, total(c.abs(), error, spread))
        noise = total(rounding, sum_underflow(layer, top))
        return Made(c, error, noise, before_factors(setting.node, largest))

    def change(self, setting: Setting, _: list[Value], moves: list[Bound]) -> Change:
        layer = layer_in(setting)
        left = layer.left_out([move.radius for move in moves])
        return Change(total(layer.spread([move.error for move in moves]), left), left)

    def cores(self, setting: Setting) -> list[Core]:
        return [Core(part.source, part.core, part.e) for part in layer_in(setting).parts]


def layer_in(setting: Setting) -> Layer:
    """The integer form of a sum."""
    assert setting.layer is not None
    return setting.layer


def sum_underflow(layer: Layer, top: Fraction) -> Fix:
    """Underflow in a sum of products: every operand read and every result may be off by 2^-126.

    No operand is larger than ``top``. The magnitudes of weights and values multiply that; 64
    (terms + 1) operations cover a sum, where zeros added to a partial sum count once: a chain of
    them flushes it once at most.
    """
    return underflow(64 * (layer.terms + 1) * layer.reach * (top + 1))


KINDS = {"sum": SumKind()}
