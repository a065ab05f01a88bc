"""Tanh: from -1 to 1, steepest at 0.

What is assumed: |computed tanh(z) - tanh(z)| <= 12u |tanh(z)| + 2^-126. ONNX Runtime and XLA
compute a quotient of polynomials (5.11u and 4.82u at most, near 0 too), PyTorch the exact number to
a unit in the last place (1.06u; 2.00u compiled).

|tanh'| <= 1 and |tanh''| = 2 |tanh| (1 - tanh^2) <= 4 / (3 sqrt 3) < 0.77.

Map: tanh; argued in docs/bound.md 2
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np

from lastbit_check.arithmetic.enclosure import END, Tabulated, enclosed, exp_bounds
from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.files.operators import UNARY
from lastbit_check.network import Node
from lastbit_check.onnxfile import Operator
from lastbit_check.operators.curves import CurveKind
from lastbit_check.operators.reading import Reader, Rule, made


def tanh(_: Reader, o: Operator, x: Node) -> Node:
    """The hyperbolic tangent of a number."""
    return made(o, "tanh", x)


def _values(z: Fraction) -> tuple[Fraction, Fraction]:
    """1 - 2 / (exp(2z) + 1), which rises with the exponential."""
    low, high = exp_bounds(2 * z)
    return 1 - 2 / (low + 1), 1 - 2 / (high + 1)


def _slopes(z: Fraction) -> tuple[Fraction, Fraction]:
    """1 - tanh(z)^2."""
    low, high = _values(abs(z))
    return 1 - high**2, 1 - max(low, Fraction(0)) ** 2


TANH = Tabulated.exactly(_values, ((-END, -END, -1.0), (END, END, 1.0)), near=(0.0, 1.0))
TANH_SLOPE = Tabulated.exactly(
    _slopes, ((-END, -END, 0.0), (0, 0, 1.0), (END, END, 0.0)), near=(1.0, 0.77)
)

RULES = {"Tanh": Rule({1: tanh}, by_number=True)}
FORMS = {"Tanh": {7: UNARY}}
KINDS = {
    "tanh": CurveKind(
        partial(enclosed, TANH),
        partial(enclosed, TANH_SLOPE),
        Fraction(12),
        grows=False,
        at_zero=Fix(np.zeros(1), ZERO_GRID),
        turn=0,
        assumed=("tanh-relative-12u",),
        relative=True,
    )
}
