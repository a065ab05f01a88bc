"""Between which numbers a node's values are: by a reference, and by the rules for ranges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lastbit_check.arithmetic.exact import Fix
from lastbit_check.around.binary64 import F64, real, upper
from lastbit_check.around.near import Near
from lastbit_check.around.walk import value_of
from lastbit_check.network import Node
from lastbit_check.norms.steps import between
from lastbit_check.operators.forms import Made, Value


def range_of(made: Made, value: F64, far: F64) -> tuple[F64, F64]:
    """Where a node's values are: within so much of the reference, and as rules for ranges say.

    Neither end is beyond the reference, which another rounding may have put outside.
    """
    c = real(made.c).ravel()
    half = upper((real(made.error) + real(made.noise)).ravel())
    ends = list[F64]()
    for sign in (-1, 1):
        by_ranges, near = c + sign * half, value + sign * far
        outwards = 2.0**-50 * (np.abs(c) + half), 2.0**-50 * (np.abs(value) + far)
        ends.append(sign * np.minimum(sign * by_ranges + outwards[0], sign * near + outwards[1]))
    return np.minimum(ends[0], value), np.maximum(ends[1], value)


def value_between(node: Node, low: F64, high: F64, made: Made) -> Value:
    """A value between such numbers, as the rules for ranges know it."""
    middle, half = between(low, high)
    near = Near(middle, np.zeros((len(middle), 0)), {}, half, 0 * middle)
    n = np.broadcast_to(made.noise.n, (*node.shape, 1))
    return replace(value_of(node, near, made.before), noise=Fix(n, made.noise.e))
