"""Relu: max(z, 0), which does not round.

Map: relu; argued in docs/bound.md 4
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.files.operators import UNARY
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.reading import Reader, Rule, made


def relu(_: Reader, o: Operator, x: Node) -> Node:
    """The larger of a number and 0."""
    return made(o, "relu", x)


def _values(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    return Fix(np.maximum(lo.n, 0.0), lo.e), Fix(np.maximum(hi.n, 0.0), hi.e)


def _slopes(lo: Fix, hi: Fix) -> tuple[Fix, Fix]:
    """1 on positive numbers, 0 on others, and anything between of two that differ in that."""
    above, most = lo.n >= 0, hi.n > 0
    return Fix((above & most).astype(np.float64), 0), Fix(most.astype(np.float64), 0)


RULES = {"Relu": Rule({1: relu}, by_number=True)}
FORMS = {"Relu": {7: UNARY}}
KINDS = {
    "relu": CurveKind(
        _values, _slopes, Fraction(0), grows=True, at_zero=Fix(np.zeros(1), ZERO_GRID), turn=None
    )
}
